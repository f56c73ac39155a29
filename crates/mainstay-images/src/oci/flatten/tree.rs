//! What a file system looks like after all layers: worked out from their entries alone, so that nothing on a disk is ever followed.

use std::collections::BTreeMap;

use crate::oci::error::{Error, Result};
use crate::oci::layer::{Attributes, Item, Names, What};
use crate::oci::limits::{MAX_LINK_HOPS, MAX_PATH_DEPTH};
use crate::oci::refusal::{EntryRefusal, Limit, Refusal, shown_path};

/// A place in [`Tree`]; several names may lead to one file.
pub(super) type NodeId = usize;

/// The root's place.
const ROOT: NodeId = 0;

/// Where a file's content is: which layer, and the how manyth entry of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Content {
    pub(super) layer: usize,
    pub(super) entry: u64,
}

/// What is at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Directory(BTreeMap<Box<[u8]>, NodeId>),
    File { content: Content, size: u64 },
    Symlink(Box<[u8]>),
    Fifo,
}

/// A place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) kind: Kind,
    pub(super) attributes: Attributes,
    /// The layer that put it there.
    layer: usize,
}

/// The file system so far.
#[derive(Debug)]
pub(super) struct Tree {
    nodes: Vec<Node>,
    layers: usize,
}

impl Tree {
    pub(super) fn new() -> Self {
        Self { nodes: vec![directory(0)], layers: 0 }
    }

    pub(super) const fn root(&self) -> NodeId {
        ROOT
    }

    pub(super) fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(id)
    }

    /// Puts a layer on top: what it takes away first, whatever the order of its entries, then what it brings.
    ///
    /// # Errors
    /// A refusal of an entry that lies below no directory, or links to no file.
    pub(super) fn apply(&mut self, items: Vec<(u64, Item)>) -> Result<()> {
        let layer = self.layers;
        self.layers += 1;
        let (gone, new): (Vec<_>, Vec<_>) =
            items.into_iter().partition(|(_, item)| matches!(item.what, What::Whiteout | What::Opaque));
        for (_, item) in gone {
            self.take_away(&item)?;
        }
        for (entry, item) in new {
            self.bring(Content { layer, entry }, item)?;
        }
        Ok(())
    }

    /// The size of all files, each content counted once for each place.
    pub(super) fn octets(&self) -> u64 {
        let mut octets = 0_u64;
        let mut seen = std::collections::HashSet::new();
        let mut open = vec![ROOT];
        while let Some(node) = open.pop().filter(|id| seen.insert(*id)).and_then(|id| self.node(id)) {
            match &node.kind {
                Kind::Directory(names) => open.extend(names.values().filter(|id| !seen.contains(*id))),
                Kind::File { size, .. } => octets = octets.saturating_add(*size),
                Kind::Symlink(_) | Kind::Fifo => {}
            }
        }
        octets
    }

    fn take_away(&mut self, item: &Item) -> Result<()> {
        match item.what {
            What::Opaque => {
                if let Some(id) = self.existing(&item.names)?
                    && let Some(Kind::Directory(names)) = self.nodes.get_mut(id).map(|node| &mut node.kind)
                {
                    names.clear();
                }
            }
            _ => {
                let Some((name, above)) = item.names.split_last() else { return Ok(()) };
                if let Some(parent) = self.existing(above)?
                    && let Some(Kind::Directory(names)) =
                        self.nodes.get_mut(parent).map(|node| &mut node.kind)
                {
                    names.remove(name);
                }
            }
        }
        Ok(())
    }

    fn bring(&mut self, content: Content, item: Item) -> Result<()> {
        let refused =
            |why| -> Error { Refusal::Entry { path: shown_path(&item.names.join(&b'/')), why }.into() };
        let Some((name, above)) = item.names.split_last() else {
            if let (What::Directory(attributes), Some(root)) = (item.what, self.nodes.get_mut(ROOT)) {
                root.attributes = attributes;
            }
            return Ok(());
        };
        let not_a_directory = || refused(EntryRefusal::ParentNotDirectory);
        let parent = self.walk(above, Some(content.layer))?.ok_or_else(not_a_directory)?;
        let kind = match &item.what {
            What::HardLink { target } => {
                let (last, before) = target.split_last().ok_or_else(|| refused(EntryRefusal::LinkTarget))?;
                let found = self.existing(before)?.and_then(|directory| self.child(directory, last));
                let linkable = |id: &NodeId| {
                    !matches!(self.node(*id).map(|node| &node.kind), Some(Kind::Directory(_)) | None)
                };
                let id = found.filter(linkable).ok_or_else(|| refused(EntryRefusal::LinkTarget))?;
                return self.name(parent, name, id).ok_or_else(not_a_directory);
            }
            What::Directory(attributes) => {
                // A directory stays one, with what is in it; in the place of a file or link a new one begins.
                let old = self.child(parent, name).and_then(|id| self.nodes.get_mut(id));
                if let Some(old) = old.filter(|old| matches!(old.kind, Kind::Directory(_))) {
                    old.attributes = attributes.clone();
                    old.layer = content.layer;
                    return Ok(());
                }
                Kind::Directory(BTreeMap::new())
            }
            What::File { size, .. } => Kind::File { content, size: *size },
            What::Symlink { target, .. } => Kind::Symlink(target.clone()),
            What::Fifo(_) => Kind::Fifo,
            What::Whiteout | What::Opaque => return Ok(()),
        };
        let attributes = match item.what {
            What::Directory(attributes)
            | What::File { attributes, .. }
            | What::Symlink { attributes, .. }
            | What::Fifo(attributes) => attributes,
            What::HardLink { .. } | What::Whiteout | What::Opaque => Attributes::default(),
        };
        let id = self.add(Node { kind, attributes, layer: content.layer });
        let path = &item.names;
        self.name(parent, name, id).ok_or_else(|| {
            Refusal::Entry { path: shown_path(&path.join(&b'/')), why: EntryRefusal::ParentNotDirectory }
                .into()
        })
    }

    /// The directory at some names, if it is there.
    fn existing(&mut self, names: &[Box<[u8]>]) -> Result<Option<NodeId>> {
        self.walk(names, None)
    }

    /// Walks to a directory as a process would whose root this is: links are followed, and `..` ends at the root. With `make`, the
    /// layer, what is missing is made. None where something else than a directory is in the way.
    fn walk(&mut self, names: &[Box<[u8]>], make: Option<usize>) -> Result<Option<NodeId>> {
        let mut path = vec![ROOT];
        let mut left: Vec<Box<[u8]>> = names.iter().rev().cloned().collect();
        let mut hops = 0;
        while let Some(name) = left.pop() {
            match &*name {
                b"" | b"." => continue,
                b".." => {
                    if path.len() > 1 {
                        path.pop();
                    }
                    continue;
                }
                _ => {}
            }
            let Some(&here) = path.last() else { return Ok(None) };
            let Some(id) = self.child(here, &name).or_else(|| self.make(here, &name, make?)) else {
                return Ok(None);
            };
            match self.node(id).map(|node| &node.kind) {
                // Links may lead to where it is deep already.
                Some(Kind::Directory(_)) if path.len() >= MAX_PATH_DEPTH => {
                    let why = EntryRefusal::TooDeep;
                    return Err(Refusal::Entry { path: shown_path(&names.join(&b'/')), why }.into());
                }
                Some(Kind::Directory(_)) => path.push(id),
                Some(Kind::Symlink(target)) => {
                    hops += 1;
                    if hops > MAX_LINK_HOPS {
                        let limit = MAX_LINK_HOPS as u64;
                        return Err(Refusal::Limit { what: Limit::LinkHops, limit }.into());
                    }
                    if target.first() == Some(&b'/') {
                        path.truncate(1);
                    }
                    left.extend(target.split(|octet| *octet == b'/').rev().map(Box::from));
                }
                _ => return Ok(None),
            }
        }
        Ok(path.last().copied())
    }

    fn make(&mut self, parent: NodeId, name: &[u8], layer: usize) -> Option<NodeId> {
        let id = self.add(directory(layer));
        self.name(parent, name, id)?;
        Some(id)
    }

    fn child(&self, parent: NodeId, name: &[u8]) -> Option<NodeId> {
        match &self.node(parent)?.kind {
            Kind::Directory(names) => names.get(name).copied(),
            _ => None,
        }
    }

    fn add(&mut self, node: Node) -> NodeId {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// Puts a place under a name; none when the parent is no directory.
    fn name(&mut self, parent: NodeId, name: &[u8], id: NodeId) -> Option<()> {
        match &mut self.nodes.get_mut(parent)?.kind {
            Kind::Directory(names) => {
                names.insert(name.into(), id);
                Some(())
            }
            _ => None,
        }
    }
}

/// A directory that no entry describes.
fn directory(layer: usize) -> Node {
    let attributes = Attributes { mode: 0o755, ..Attributes::default() };
    Node { kind: Kind::Directory(BTreeMap::new()), attributes, layer }
}

/// What is called with the names on the way to a place, and the place.
type Visit<'a> = dyn FnMut(&[Box<[u8]>], NodeId, &Node) -> Result<()> + 'a;

/// Visits everything, directories before what is in them, names in order. A directory lies at most as deep as [`Tree::walk`] lets it.
pub(super) fn depth_first(tree: &Tree, visit: &mut Visit<'_>) -> Result<()> {
    below(tree, &mut Names::new(), tree.root(), visit)
}

fn below(tree: &Tree, names: &mut Names, id: NodeId, visit: &mut Visit<'_>) -> Result<()> {
    let Some(node) = tree.node(id) else { return Ok(()) };
    visit(names, id, node)?;
    if let Kind::Directory(children) = &node.kind {
        for (name, child) in children {
            names.push(name.clone());
            below(tree, names, *child, visit)?;
            names.pop();
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
