//! Choosing by platform: of an index, and of an image that says for itself what it is for.

use super::*;
use crate::oci::graph::tests::{Content, layer};

fn wanted(text: &str) -> Select {
    Select::Platform(Platform::parse(text).unwrap())
}

async fn chosen(content: &Content, root: &Descriptor, platform: &str) -> Result<Descriptor> {
    select(content, root.clone(), &wanted(platform)).await
}

async fn check_other(content: &Content, root: &Descriptor, platform: &str, says: &str) {
    let error = chosen(content, root, platform).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::OtherPlatform, "{error}");
    assert!(error.to_string().contains(says), "{error}");
}

#[tokio::test]
async fn a_platform_chooses_one_image() {
    let mut content = Content::default();
    let mut arm = content.image(&[layer("arm")]);
    arm.platform = Some(Platform { variant: Some("v8".to_owned()), ..Platform::new("linux", "arm64") });
    let mut amd = content.image(&[layer("amd")]);
    amd.platform = Some(Platform::new("linux", "amd64"));
    let index = content.index(&[arm.clone(), amd.clone()]);
    assert_eq!(select(&content, index.clone(), &Select::All).await.unwrap().digest, index.digest);
    assert_eq!(chosen(&content, &index, "linux/amd64").await.unwrap().digest, amd.digest);
    assert_eq!(chosen(&content, &index, "linux/arm64").await.unwrap().digest, arm.digest);
    let says = "made for linux/amd64, linux/arm64/v8, and not for linux/riscv64";
    check_other(&content, &index, "linux/riscv64", says).await;
    // Of a long list a few are told.
    let many: Vec<Descriptor> = (0..=TOLD)
        .map(|at| Descriptor { platform: Some(Platform::new("os", &at.to_string())), ..amd.clone() })
        .collect();
    let index = content.index(&many);
    check_other(&content, &index, "linux/amd64", "os/7 and others, and not").await;
}

#[tokio::test]
async fn an_image_alone_is_for_what_it_says() {
    let mut content = Content::default();
    let mut image = |says: &str| {
        let config = format!(r#"{{{says}"rootfs":{{"diff_ids":["{}"]}}}}"#, layer("a").digest);
        let config = content.add(media::CONFIG, &config);
        content.manifest_of(&config, &[layer("a")])
    };
    let amd = image(r#""os":"linux","architecture":"amd64","variant":"","#);
    let arm = image(r#""os":"linux","architecture":"arm","variant":"v6","#);
    let silent = image(r#""os":null,"#);
    let wrong = image(r#""os":1,"architecture":"amd64","#);
    let artifact = content.add("application/x-odd", "odd");
    let other = content.add("application/x-config", "{}");
    let chart = content.manifest_of(&other, &[]);

    assert_eq!(chosen(&content, &amd, "linux/amd64").await.unwrap(), amd);
    assert_eq!(chosen(&content, &arm, "linux/arm/v6").await.unwrap(), arm);
    check_other(&content, &amd, "linux/arm64", "made for linux/amd64, and not for linux/arm64").await;
    check_other(&content, &arm, "linux/arm/v7", "made for linux/arm/v6, and not").await;
    for nothing in [&silent, &wrong, &artifact, &chart] {
        check_other(&content, nothing, "linux/amd64", "does not say for which platform").await;
    }
    // A list that says so is believed, as an index is.
    let listed = Descriptor { platform: Some(Platform::new("linux", "arm64")), ..silent.clone() };
    assert_eq!(chosen(&content, &listed, "linux/arm64").await.unwrap(), listed);
    check_other(&content, &listed, "linux/amd64", "made for linux/arm64, and not").await;
    assert_eq!(select(&content, amd.clone(), &Select::All).await.unwrap(), amd);
}

#[tokio::test]
async fn an_image_below_as_many_indexes_as_there_may_be_is_found() {
    let mut content = Content::default();
    let amd = Some(Platform::new("linux", "amd64"));
    let mut nested = Descriptor { platform: amd.clone(), ..content.image(&[layer("a")]) };
    let image = nested.digest;
    for _ in 0..MAX_INDEX_DEPTH {
        nested = Descriptor { platform: amd.clone(), ..content.index(&[nested]) };
    }
    assert_eq!(chosen(&content, &nested, "linux/amd64").await.unwrap().digest, image);
    let deeper = content.index(&[nested]);
    let error = chosen(&content, &deeper, "linux/amd64").await.unwrap_err();
    assert_eq!(error.refusal(), too_deep().refusal(), "{error}");
}
