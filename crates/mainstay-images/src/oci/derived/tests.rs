//! What the documents of derived images say.

use super::*;

fn added(text: &str) -> Added {
    Added { descriptor: Descriptor::of(media::LAYER, text.as_bytes()), diff_id: Digest::of(text.as_bytes()) }
}

fn history(created: Option<&str>) -> History {
    History {
        created: created.map(str::to_owned),
        created_by: Some("a test".to_owned()),
        ..History::default()
    }
}

fn below(manifest: &Value, config: &Value) -> Below {
    let manifest_octets = Bytes::from(serde_json::to_vec(manifest).unwrap());
    Below {
        manifest: Descriptor::of(media::MANIFEST, &manifest_octets),
        manifest_octets,
        config_octets: Bytes::from(serde_json::to_vec(config).unwrap()),
        name: Some("registry.example/base:1".to_owned()),
    }
}

fn descriptor(media_type: &str) -> Value {
    json!({"mediaType": media_type, "digest": OciDigest(Digest::of(b"x")).to_string(), "size": 1, "urls": ["kept"]})
}

fn read(octets: &Bytes) -> Value {
    serde_json::from_slice(octets).unwrap()
}

fn linux() -> Platform {
    Platform::new("linux", "amd64")
}

#[test]
fn a_first_image_has_a_platform_and_one_layer() {
    let made = over(None, &linux(), &[(added("a"), history(None))]).unwrap();
    let config = read(&made.config_octets);
    assert_eq!((&config["os"], &config["architecture"]), (&json!("linux"), &json!("amd64")));
    assert_eq!(config["rootfs"]["diff_ids"], json!([OciDigest(Digest::of(b"a")).to_string()]));
    assert_eq!(config["history"], json!([{"created_by": "a test"}]));
    assert!(config.get("created").is_none() && read(&made.manifest_octets).get("annotations").is_none());
    assert_eq!(read(&made.manifest_octets)["config"]["digest"], made.config.digest.to_string());
}

#[test]
fn a_parent_s_words_stay_and_its_docker_types_become_oci_s() {
    let layers: Vec<Value> = [
        media::DOCKER_LAYER_GZIP,
        media::DOCKER_LAYER,
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "application/vnd.example",
    ]
    .map(descriptor)
    .to_vec();
    let ids = vec![OciDigest(Digest::of(b"y")).to_string(); 4];
    let config = json!({"zz": 1, "config": {"Cmd": ["sh"]}, "created": "2020-01-01T00:00:00Z",
        "rootfs": {"type": "layers", "diff_ids": ids},
        "history": [{"created_by": "x"}, {"empty_layer": true}, {"comment": "y"}]});
    let below = below(&json!({"config": descriptor(media::DOCKER_CONFIG), "layers": layers}), &config);
    let made = over(Some(&below), &linux(), &[(added("a"), history(Some("2026-01-01T00:00:00Z")))]).unwrap();
    let manifest = read(&made.manifest_octets);
    let types: Vec<&str> = manifest["layers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|layer| layer["mediaType"].as_str().unwrap())
        .collect();
    let foreign = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";
    assert_eq!(types, [media::LAYER_GZIP, media::LAYER, foreign, "application/vnd.example", media::LAYER]);
    assert_eq!(manifest["layers"][0]["urls"], json!(["kept"]));
    assert_eq!(manifest["annotations"][BASE_DIGEST], below.manifest.digest.to_string());
    assert_eq!(manifest["annotations"][BASE_NAME], "registry.example/base:1");
    let made = read(&made.config_octets);
    assert_eq!((&made["zz"], &made["config"]["Cmd"]), (&json!(1), &json!(["sh"])));
    assert_eq!(made["created"], "2026-01-01T00:00:00Z");
    // Two of four layers had an entry, one entry is of no layer: filled up before the new one.
    let entries = made["history"].as_array().unwrap();
    assert_eq!(entries.len(), 6);
    assert_eq!(&entries[3..5], [json!({}), json!({})]);
    assert_eq!(entries[5]["created_by"], "a test");
}

#[test]
fn the_same_words_give_the_same_octets() {
    let config = |swap: bool| {
        let rest = r#""rootfs":{"diff_ids":[],"type":"layers"},"history":null"#;
        let text = if swap {
            format!("{{{rest},\"a\":{{\"c\":1,\"b\":2}}}}")
        } else {
            format!("{{\"a\":{{\"b\":2,\"c\":1}},{rest}}}")
        };
        Bytes::from(text)
    };
    let base = below(&json!({"config": descriptor(media::CONFIG), "layers": []}), &json!({}));
    let made = [false, true].map(|swap| {
        let below = Below { config_octets: config(swap), ..base.clone() };
        over(Some(&below), &linux(), &[(added("a"), history(None))]).unwrap()
    });
    assert_eq!(made[0], made[1]);
    assert!(made[0].config_octets.starts_with(br#"{"a":{"b":2,"c":1},"history":[{"#));
}

#[test]
fn layers_end_at_their_limit() {
    let many = |count: usize| vec![(added("a"), history(None)); count];
    assert!(over(None, &linux(), &many(MAX_LAYERS)).is_ok());
    let refused = over(None, &linux(), &many(MAX_LAYERS + 1)).unwrap_err();
    assert_eq!(refused.refusal(), Some(&Refusal::TooManyLayers { found: MAX_LAYERS + 1 }));
}

#[test]
fn what_is_no_configuration_is_refused() {
    let manifest = json!({"config": descriptor(media::CONFIG), "layers": []});
    for config in [
        json!({"rootfs": {"diff_ids": []}, "history": 7}),
        json!({"rootfs": {"diff_ids": [OciDigest(Digest::of(b"y")).to_string()]}}),
        json!({"history": []}),
        json!([]),
    ] {
        let refused = over(Some(&below(&manifest, &config)), &linux(), &[(added("a"), history(None))]);
        assert!(refused.unwrap_err().refusal().is_some(), "{config}");
    }
}

#[test]
fn a_chain_of_anything_is_an_artefact() {
    let layers =
        [Descriptor::of("application/vnd.example.disk", b"base"), Descriptor::of("x/delta", b"delta")];
    let made = chain(&layers).unwrap();
    let manifest = read(&made.manifest_octets);
    assert_eq!(manifest["artifactType"], NewImage::CHAIN_TYPE);
    assert_eq!(manifest["config"], serde_json::to_value(Descriptor::of(EMPTY_TYPE, b"{}")).unwrap());
    assert_eq!(manifest["layers"][1]["digest"], layers[1].digest.to_string());
    assert_eq!(chain(&layers).unwrap(), made);
}
