use std::fs;
use std::os::unix::fs::symlink;

use super::*;

fn store() -> (tempfile::TempDir, PathBuf) {
    let store = tempfile::tempdir().unwrap();
    let model = store.path().join("a");
    fs::create_dir(&model).unwrap();
    fs::write(model.join("manifest.json"), "1").unwrap();
    (store, model)
}

fn watch(store: &tempfile::TempDir) -> Watch {
    Watch::new(store.path().to_owned())
}

/// A link to itself: what it is cannot be said, and it is there.
fn loop_at(place: &Path) {
    symlink(place.file_name().unwrap(), place).unwrap();
}

#[test]
fn what_stays_as_it_is_is_told_of_once() {
    let (store, model) = store();
    let mut watch = watch(&store);
    assert_eq!(watch.look(), []);
    fs::write(model.join("model.onnx"), "12").unwrap();
    assert_eq!(watch.look(), [], "it may be being written");
    fs::write(model.join("model.onnx"), "123").unwrap();
    assert_eq!(watch.look(), [], "it was");
    assert_eq!(watch.look(), [Change::Load(model)]);
    assert_eq!(watch.look(), []);
}

#[test]
fn a_file_of_the_same_length_that_takes_anothers_place_is_a_change() {
    let (store, model) = store();
    let mut watch = watch(&store);
    fs::write(store.path().join(".new"), "2").unwrap();
    fs::rename(store.path().join(".new"), model.join("manifest.json")).unwrap();
    assert_eq!(watch.look(), []);
    assert_eq!(watch.look(), [Change::Load(model)]);
}

#[test]
fn a_file_in_a_folder_that_changes_in_place_is_a_change() {
    let (store, model) = store();
    let head = model.join("heads/voc.safetensors");
    fs::create_dir(model.join("heads")).unwrap();
    fs::write(&head, "1").unwrap();
    let mut watch = watch(&store);
    fs::write(head, "12").unwrap();
    assert_eq!(watch.look(), []);
    assert_eq!(watch.look(), [Change::Load(model)]);
}

#[test]
fn a_directory_that_is_away_for_a_moment_is_not_gone() {
    let (store, model) = store();
    let (hidden, other) = (store.path().join(".a"), store.path().join("b"));
    let mut watch = watch(&store);
    fs::rename(&model, &hidden).unwrap();
    assert_eq!(watch.look(), []);
    fs::rename(&hidden, &model).unwrap();
    assert_eq!(watch.look(), []);
    fs::rename(&model, &other).unwrap();
    assert_eq!(watch.look(), []);
    let changes = [Change::Load(other), Change::Remove("a".to_owned())];
    assert_eq!(watch.look(), changes);
    assert_eq!(watch.look(), []);
}

#[test]
fn a_store_that_cannot_be_listed_has_not_changed() {
    let (store, _) = store();
    let mut watch = watch(&store);
    drop(store);
    assert_eq!(watch.look(), []);
    assert_eq!(watch.look(), []);
}

#[test]
fn a_directory_that_cannot_be_read_is_neither_gone_nor_changed() {
    let (store, model) = store();
    let hidden = store.path().join(".a");
    let mut watch = watch(&store);
    fs::rename(&model, &hidden).unwrap();
    loop_at(&model);
    for look in 0..4 {
        assert_eq!(watch.look(), [], "look {look}");
    }
    fs::remove_file(&model).unwrap();
    fs::rename(&hidden, &model).unwrap();
    for look in 0..3 {
        assert_eq!(watch.look(), [], "look {look} at the same as before");
    }
    fs::remove_dir_all(&model).unwrap();
    assert_eq!(watch.look(), []);
    assert_eq!(watch.look(), [Change::Remove("a".to_owned())]);
}

#[test]
fn a_directory_with_a_file_that_cannot_be_looked_at_is_as_it_was() {
    let (store, model) = store();
    let mut watch = watch(&store);
    loop_at(&model.join("model.onnx"));
    fs::write(model.join("ledger.json"), "{}").unwrap();
    for look in 0..3 {
        assert_eq!(watch.look(), [], "look {look}");
    }
    fs::remove_file(model.join("model.onnx")).unwrap();
    assert_eq!(watch.look(), []);
    assert_eq!(watch.look(), [Change::Load(model)]);
}

#[test]
fn a_directory_that_could_not_be_read_at_the_start_is_told_of_when_it_can_be() {
    let (store, model) = store();
    loop_at(&model.join("model.onnx"));
    let mut watch = watch(&store);
    assert_eq!(watch.look(), []);
    fs::remove_file(model.join("model.onnx")).unwrap();
    assert_eq!(watch.look(), []);
    assert_eq!(watch.look(), [Change::Load(model)]);
    assert_eq!(watch.look(), []);
}

#[test]
fn what_is_forgotten_is_told_of_again_though_it_is_as_it_was() {
    let (store, model) = store();
    let mut watch = watch(&store);
    watch.forget(&model);
    assert_eq!(watch.look(), [Change::Load(model.clone())]);
    assert_eq!(watch.look(), []);
    watch.forget(&model);
    fs::remove_dir_all(&model).unwrap();
    assert_eq!(watch.look(), []);
    assert_eq!(watch.look(), [Change::Remove("a".to_owned())]);
}

/// `NAME/FILE -> ..data/FILE` and `..data -> ..VERSION`, as Kubernetes lays volumes.
#[test]
fn a_link_between_that_is_turned_to_another_version_is_a_change() {
    let store = tempfile::tempdir().unwrap();
    let model = store.path().join("a");
    for version in ["..1", "..2"] {
        fs::create_dir_all(model.join(version)).unwrap();
        fs::write(model.join(version).join("manifest.json"), "1").unwrap();
    }
    symlink("..1", model.join("..data")).unwrap();
    symlink("..data/manifest.json", model.join("manifest.json")).unwrap();
    let mut watch = watch(&store);
    assert_eq!(watch.look(), []);
    symlink("..2", model.join("..next")).unwrap();
    fs::rename(model.join("..next"), model.join("..data")).unwrap();
    assert_eq!(watch.look(), []);
    assert_eq!(watch.look(), [Change::Load(model)]);
}

/// `NAME/FILE -> ../../blobs/DIGEST`, as the Hub's cache lays snapshots.
#[test]
fn a_change_of_what_a_link_leads_to_is_a_change() {
    let (store, model) = store();
    let blobs = tempfile::tempdir().unwrap();
    let blob = blobs.path().join("blob");
    fs::write(&blob, "1").unwrap();
    symlink(&blob, model.join("model.onnx")).unwrap();
    let mut watch = watch(&store);
    assert_eq!(watch.look(), []);
    fs::write(&blob, "12").unwrap();
    assert_eq!(watch.look(), []);
    assert_eq!(watch.look(), [Change::Load(model.clone())]);
    fs::remove_file(&blob).unwrap();
    assert_eq!(watch.look(), []);
    assert_eq!(
        watch.look(),
        [Change::Load(model)],
        "it is for the load to refuse it"
    );
}

#[test]
fn a_directory_that_is_a_link_changes_with_the_link_and_goes_with_what_it_leads_to() {
    let store = tempfile::tempdir().unwrap();
    let releases = tempfile::tempdir().unwrap();
    for release in ["1", "2"] {
        let release = releases.path().join(release);
        fs::create_dir(&release).unwrap();
        fs::write(release.join("manifest.json"), "1").unwrap();
    }
    let model = store.path().join("a");
    symlink(releases.path().join("1"), &model).unwrap();
    let mut watch = watch(&store);
    assert_eq!(watch.look(), []);
    fs::remove_file(&model).unwrap();
    symlink(releases.path().join("2"), &model).unwrap();
    assert_eq!(watch.look(), []);
    assert_eq!(watch.look(), [Change::Load(model)]);
    drop(releases);
    assert_eq!(watch.look(), []);
    assert_eq!(watch.look(), [Change::Remove("a".to_owned())]);
}
