//! Layers upon layers, in words: what is there in the end.

use proptest::prelude::*;

use super::*;

fn names(path: &str) -> Names {
    path.split('/').filter(|name| !name.is_empty()).map(|name| name.as_bytes().into()).collect()
}

/// `d/` a directory, `f` a file, `l -> t` a link, `h => t` a hard link, `-w` a whiteout, `!d` an opaque directory.
fn item(text: &str) -> Item {
    let attributes = Attributes { mode: 0o700, ..Attributes::default() };
    let (path, what) = if let Some(gone) = text.strip_prefix('-') {
        (gone, What::Whiteout)
    } else if let Some(opaque) = text.strip_prefix('!') {
        (opaque, What::Opaque)
    } else if let Some((path, target)) = text.split_once(" -> ") {
        (path, What::Symlink { target: target.as_bytes().into(), attributes })
    } else if let Some((path, target)) = text.split_once(" => ") {
        (path, What::HardLink { target: names(target) })
    } else if text.ends_with('/') {
        (text, What::Directory(attributes))
    } else {
        (text, What::File { attributes, size: 1 })
    };
    Item { names: names(path), what }
}

fn layer(text: &str) -> Vec<(u64, Item)> {
    (0..).zip(text.split(", ").filter(|text| !text.is_empty()).map(item)).collect()
}

fn build(layers: &[&str]) -> Result<Tree> {
    let mut tree = Tree::new();
    layers.iter().try_for_each(|text| tree.apply(layer(text)))?;
    Ok(tree)
}

fn picture(tree: &Tree) -> String {
    let mut lines = Vec::new();
    depth_first(tree, &mut |names, _, node| {
        let path = String::from_utf8(names.join(&b'/')).unwrap();
        match &node.kind {
            Kind::Directory(children) if children.is_empty() => lines.push(format!("{path}/")),
            Kind::Directory(_) => {}
            Kind::File { content, .. } => lines.push(format!("{path}={}.{}", content.layer, content.entry)),
            Kind::Symlink(target) => lines.push(format!("{path} -> {}", target.escape_ascii())),
            Kind::Fifo => lines.push(format!("{path}|")),
        }
        Ok(())
    })
    .unwrap();
    lines.join(", ")
}

fn check(layers: &[&str], expected: &str) {
    assert_eq!(picture(&build(layers).unwrap()), expected, "{layers:?}");
}

fn check_refused(layers: &[&str], expected: &Refusal) {
    assert_eq!(build(layers).unwrap_err().refusal(), Some(expected), "{layers:?}");
}

#[test]
fn upper_layers_win() {
    check(&["a, b", "b, c"], "a=0.0, b=1.0, c=1.1");
    check(&["d/, d/a", "d/, d/b"], "d/a=0.1, d/b=1.1");
    check(&["d/, d/a", "d"], "d=1.0");
    check(&["d", "d/, d/a"], "d/a=1.1");
    check(&["x/y/z"], "x/y/z=0.0");
    check(&["a, l -> a", "l"], "a=0.0, l=1.0");
    check(&["d/, l -> d", "l/"], "d/, l/");
}

#[test]
fn whiteouts_take_away_what_lies_below_and_nothing_else() {
    check(&["a, b", "-a"], "b=0.1");
    check(&["d/a, d/b, c", "-d"], "c=0.2");
    // Before or after, in its own layer a whiteout removes nothing.
    check(&["a", "-a, a"], "a=1.1");
    check(&["a", "a, -a"], "a=1.0");
    check(&["d/a", "d/b, -d"], "d/b=1.0");
    check(&["d/a, d/b", "!d, d/c"], "d/c=1.1");
    check(&["d/a, d/b", "d/c, !d"], "d/c=1.0");
    check(&["a, b", "!"], "/");
    check(&["a", "-b, -c/d, !e"], "a=0.0");
}

#[test]
fn entries_follow_links_but_never_out_of_the_image() {
    check(&["usr/lib/, lib -> usr/lib", "lib/a"], "lib -> usr/lib, usr/lib/a=1.0");
    check(&["usr/lib/, lib -> /usr/lib", "lib/a"], "lib -> /usr/lib, usr/lib/a=1.0");
    check(&["d/, l -> ../../../d", "l/a"], "d/a=1.0, l -> ../../../d");
    check(&["d/, d/a, l -> d", "-l/a"], "d/, l -> d");
    check(&["l -> ../../etc", "l/passwd"], "etc/passwd=1.0, l -> ../../etc");
    check(&["a -> b, b -> c, c/, a/x"], "a -> b, b -> c, c/x=0.3");
    let loops = Refusal::Limit { what: Limit::LinkHops, limit: MAX_LINK_HOPS as u64 };
    check_refused(&["a -> b, b -> a, a/x"], &loops);
    let links = |count: usize| {
        let links: Vec<String> = (0..count).map(|at| format!("l{at} -> l{}", at + 1)).collect();
        format!("l{count}/, {}, l0/x", links.join(", "))
    };
    assert!(build(&[&links(MAX_LINK_HOPS)]).is_ok());
    check_refused(&[&links(MAX_LINK_HOPS + 1)], &loops);
}

#[test]
fn hard_links_share_a_file_of_the_image() {
    check(&["a", "b => a"], "a=0.0, b=0.0");
    check(&["a, l -> a", "b => l"], "a=0.0, b -> a, l -> a");
    check(&["a", "b => a", "a"], "a=2.0, b=0.0");
    let tree = build(&["a", "b => a"]).unwrap();
    assert_eq!(tree.child(ROOT, b"a"), tree.child(ROOT, b"b"));
    assert_eq!(tree.octets(), 1);
    let refused = |path: &str, why| Refusal::Entry { path: path.to_owned(), why };
    check_refused(&["b => a"], &refused("b", EntryRefusal::LinkTarget));
    check_refused(&["d/", "b => d"], &refused("b", EntryRefusal::LinkTarget));
    check_refused(&["a", "-a, b => a"], &refused("b", EntryRefusal::LinkTarget));
}

#[test]
fn nothing_lies_below_a_file() {
    let why = EntryRefusal::ParentNotDirectory;
    check_refused(&["a", "a/b"], &Refusal::Entry { path: "a/b".to_owned(), why });
    check_refused(&["a, l -> a", "l/b"], &Refusal::Entry { path: "l/b".to_owned(), why });
}

/// Items as an enemy would order them: few names, so that they meet.
fn any_item() -> impl Strategy<Value = Item> {
    let path = "[abl](/[abl]){0,3}";
    let target = prop::sample::select(vec!["a", "b/l", "/", "..", "../../a", "/l", "l", ".", "//b//"]);
    (path, target, 0..7).prop_map(|(path, target, kind)| match kind {
        0 => item(&format!("-{path}")),
        1 => item(&format!("!{path}")),
        2 => item(&format!("{path} -> {target}")),
        3 => item(&format!("{path} => {}", target.replace("..", "a"))),
        4 => item(&format!("{path}/")),
        _ => item(&path),
    })
}

proptest! {
    #[test]
    fn no_layers_make_it_panic_and_every_tree_is_one(
        layers in prop::collection::vec(prop::collection::vec(any_item(), 0..12), 1..4),
    ) {
        let mut tree = Tree::new();
        for items in layers {
            if tree.apply((0..).zip(items).collect()).is_err() {
                return Ok(());
            }
        }
        let mut directories = std::collections::HashSet::new();
        depth_first(&tree, &mut |names, id, node| {
            assert!(names.iter().all(|name| !matches!(&**name, b"" | b"." | b"..") && !name.contains(&b'/')));
            // A directory has one name, so that the walk ends and each is made once.
            assert!(!matches!(node.kind, Kind::Directory(_)) || directories.insert(id));
            Ok(())
        })
        .unwrap();
    }

    /// Without links, a tree is what a list of paths gives.
    #[test]
    fn plain_layers_give_what_a_list_of_paths_gives(
        layers in prop::collection::vec(prop::collection::btree_set("[ab](/[ab]){0,2}", 0..6), 1..4),
        gone in prop::collection::vec(prop::collection::vec("[ab](/[ab]){0,2}", 0..3), 3),
    ) {
        let mut model = std::collections::BTreeMap::new();
        let mut texts = Vec::new();
        for (at, (files, gone)) in layers.iter().zip(&gone).enumerate() {
            // Below a file nothing lies: of two such paths in one layer, the shorter is left out.
            let files: Vec<&String> =
                files.iter().filter(|file| !files.iter().any(|other| other.starts_with(&format!("{file}/")))).collect();
            let below = |path: &String, top: &String| path == top || path.starts_with(&format!("{top}/"));
            model.retain(|path, _| !gone.iter().any(|gone| below(path, gone)));
            // In the way of a directory, a file must go first; a real layer says so by the directory's own entry.
            let mut text: Vec<String> = gone.iter().map(|gone| format!("-{gone}")).collect();
            for file in &files {
                for (end, _) in file.match_indices('/') {
                    text.push(format!("{}/", &file[..end]));
                    model.remove(&file[..end]);
                }
                model.retain(|path: &String, _| !path.starts_with(&format!("{file}/")));
            }
            for file in &files {
                model.insert((*file).clone(), format!("{file}={at}.{}", text.len()));
                text.push((*file).clone());
            }
            texts.push(text.join(", "));
        }
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let found = picture(&build(&texts).unwrap());
        let found: Vec<&str> = found.split(", ").filter(|line| line.contains('=')).collect();
        let mut expected: Vec<String> = model.into_values().collect();
        expected.sort_by(|one, other| one.split('=').next().cmp(&other.split('=').next()));
        let mut found: Vec<String> = found.into_iter().map(str::to_owned).collect();
        found.sort_by(|one, other| one.split('=').next().cmp(&other.split('=').next()));
        prop_assert_eq!(found, expected, "{:?}", texts);
    }
}

#[test]
fn links_do_not_lead_ever_deeper() {
    let deep = |count: usize| "d/".repeat(count);
    let below = |last: usize| {
        let half = MAX_PATH_DEPTH / 2;
        build(&[&format!("{}, l -> {}", deep(half), deep(half)), &format!("l/{}f", deep(last))])
    };
    assert!(below(MAX_PATH_DEPTH - MAX_PATH_DEPTH / 2 - 1).is_ok());
    let error = below(MAX_PATH_DEPTH - MAX_PATH_DEPTH / 2).unwrap_err();
    assert!(matches!(error.refusal(), Some(Refusal::Entry { why: EntryRefusal::TooDeep, .. })), "{error}");
}
