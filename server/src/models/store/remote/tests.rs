//! Against an S3 server in this process.

mod killed;
mod s3;

use std::fs;
use std::sync::LazyLock;

use detcon_converter::demo::demo;
use detcon_core::files::Existing;
use detcon_core::model::{ModelDirectory, file};
use object_store::RetryConfig;
use object_store::aws::AmazonS3Builder;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::*;
use s3::{BUCKET, KEY, S3, SECRET};

/// Runs what clients wait for.
static CLIENT: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

fn open(s3: &S3, bucket: &str, secret: &str, cache: &Path) -> Remote {
    super::connect::provide_tls();
    let retry = RetryConfig {
        max_retries: 0,
        ..RetryConfig::default()
    };
    let store = AmazonS3Builder::new()
        .with_endpoint(format!("http://{}", s3.address))
        .with_allow_http(true)
        .with_region("us-east-1")
        .with_bucket_name(bucket)
        .with_access_key_id(KEY)
        .with_secret_access_key(secret)
        .with_retry(retry);
    let store = Arc::new(store.build().unwrap());
    let handle = CLIENT.handle().clone();
    Remote::new("s3://models/prefix", store, "prefix".into(), cache, handle).unwrap()
}

/// The folder of the objects of the model `a`.
fn folder(s3: &S3) -> PathBuf {
    s3.folder.path().join(BUCKET).join("prefix/a")
}

/// The object of a file of a model that a server wrote.
fn object(s3: &S3, model: &ModelDirectory, file: &str) -> PathBuf {
    let digest = &model.manifest().files[file].sha256;
    folder(s3).join("objects").join(digest)
}

/// Puts a model's directory in the store as a client that copies files does.
fn copy(s3: &S3, model: &ModelDirectory) {
    fs::create_dir_all(folder(s3)).unwrap();
    for file in fs::read_dir(model.path()).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), folder(s3).join(file.file_name())).unwrap();
    }
}

fn model(seed: u64) -> (TempDir, ModelDirectory) {
    model_of("tiny", seed)
}

fn model_of(spec: &str, seed: u64) -> (TempDir, ModelDirectory) {
    let made = tempfile::tempdir().unwrap();
    let place = made.path().join("a");
    demo(&place, Existing::Keep, spec.parse().unwrap(), seed).unwrap();
    let model = ModelDirectory::open(&place).unwrap();
    (made, model)
}

fn cached(remote: &Remote) -> Option<String> {
    let model = ModelDirectory::open(&remote.folder().join("a")).ok()?;
    Some(model.digest().to_owned())
}

#[test]
fn what_one_server_writes_another_fetches_follows_and_loses() {
    let s3 = S3::start();
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let writer = open(&s3, BUCKET, SECRET, here.path());
    let reader = open(&s3, BUCKET, SECRET, there.path());
    reader.sync().unwrap();
    assert_eq!(cached(&reader), None);
    for seed in [0, 1] {
        let (_made, model) = model(seed);
        writer.push(&model).unwrap();
        reader.sync().unwrap();
        assert_eq!(cached(&reader).as_deref(), Some(model.digest()));
    }
    writer
        .delete(&ModelName::try_from("a".to_owned()).unwrap())
        .unwrap();
    assert_eq!(killed::objects(&s3), BTreeSet::new());
    reader.sync().unwrap();
    assert_eq!(list(reader.folder()).unwrap(), Vec::<PathBuf>::new());
}

#[test]
fn a_model_without_its_manifest_is_not_there() {
    let s3 = S3::start();
    let cache = tempfile::tempdir().unwrap();
    let remote = open(&s3, BUCKET, SECRET, cache.path());
    remote.push(&model(0).1).unwrap();
    fs::remove_file(folder(&s3).join(file::MANIFEST)).unwrap();
    remote.sync().unwrap();
    assert_eq!(cached(&remote), None);
}

#[test]
fn a_file_that_is_not_what_the_manifest_says_leaves_the_model_that_was_there() {
    let s3 = S3::start();
    let cache = tempfile::tempdir().unwrap();
    let remote = open(&s3, BUCKET, SECRET, cache.path());
    let (_made, first) = model(0);
    remote.push(&first).unwrap();
    remote.sync().unwrap();
    let (_made, second) = model(1);
    remote.push(&second).unwrap();
    let backbone = object(&s3, &second, file::BACKBONE);
    let whole = fs::read(&backbone).unwrap();
    fs::write(&backbone, vec![0; whole.len()]).unwrap();
    remote.sync().unwrap();
    assert_eq!(cached(&remote).as_deref(), Some(first.digest()));
    fs::write(&backbone, whole).unwrap();
    remote.sync().unwrap();
    assert_eq!(cached(&remote).as_deref(), Some(second.digest()));
}

#[test]
fn a_fetch_goes_on_where_it_broke_off() {
    let s3 = S3::start();
    let cache = tempfile::tempdir().unwrap();
    let remote = open(&s3, BUCKET, SECRET, cache.path());
    let (_made, model) = model(0);
    remote.push(&model).unwrap();
    let digest = &model.manifest().files[file::BACKBONE].sha256;
    let backbone = object(&s3, &model, file::BACKBONE);
    let whole = fs::read(&backbone).unwrap();
    let arriving = remote.folder().join(".detcon-arriving/a");
    fs::create_dir_all(&arriving).unwrap();
    fs::write(arriving.join(digest), &whole[..1000]).unwrap();
    // Were it read from its beginning, the digest would be wrong.
    let mut changed = whole;
    changed[..1000].fill(0);
    fs::write(&backbone, changed).unwrap();
    remote.sync().unwrap();
    assert_eq!(cached(&remote).as_deref(), Some(model.digest()));
}

#[test]
fn a_model_whose_directory_was_copied_to_the_store_is_fetched_and_replaced_by_one_that_a_server_writes()
 {
    let s3 = S3::start();
    let cache = tempfile::tempdir().unwrap();
    let remote = open(&s3, BUCKET, SECRET, cache.path());
    for seed in [0, 1] {
        let (_made, copied) = model(seed);
        copy(&s3, &copied);
        remote.sync().unwrap();
        assert_eq!(cached(&remote).as_deref(), Some(copied.digest()));
        let (_made, written) = model(seed + 10);
        remote.push(&written).unwrap();
        remote.sync().unwrap();
        assert_eq!(cached(&remote).as_deref(), Some(written.digest()));
        let (objects, expected) = (killed::objects(&s3), killed::expected(&written));
        assert!(objects.is_superset(&expected), "{objects:?}");
        let named = objects.iter().filter(|it| !it.starts_with("objects/"));
        assert_eq!(named.collect::<Vec<_>>(), [file::MANIFEST]);
    }
}

#[test]
fn what_arrived_of_one_model_stays_until_that_model_has_arrived_or_gone() {
    let s3 = S3::start();
    let cache = tempfile::tempdir().unwrap();
    let remote = open(&s3, BUCKET, SECRET, cache.path());
    let arriving = remote.folder().join(".detcon-arriving");
    let (ours, others) = (arriving.join("a"), arriving.join("b"));
    for folder in [&ours, &others] {
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join("0".repeat(64)), "half").unwrap();
    }
    fs::write(
        arriving.join("1".repeat(64)),
        "as releases of before left it",
    )
    .unwrap();
    let (_made, model) = model(0);
    remote.push(&model).unwrap();
    let other = folder(&s3).with_file_name("b");
    fs::create_dir(&other).unwrap();
    fs::write(other.join(file::MANIFEST), "no manifest").unwrap();
    remote.sync().unwrap();
    assert_eq!(cached(&remote).as_deref(), Some(model.digest()));
    assert_eq!((ours.exists(), others.exists()), (false, true));
    fs::remove_dir_all(other).unwrap();
    remote.sync().unwrap();
    assert_eq!(fs::read_dir(&arriving).unwrap().count(), 0);
}

#[test]
fn what_a_killed_server_left_of_removals_keeps_nothing_from_going() {
    let s3 = S3::start();
    let cache = tempfile::tempdir().unwrap();
    let remote = open(&s3, BUCKET, SECRET, cache.path());
    let (_made, model) = model(0);
    remote.push(&model).unwrap();
    remote.sync().unwrap();
    let left = [".a.gone", ".b.gone"].map(|name| remote.folder().join(name));
    for left in &left {
        fs::create_dir(left).unwrap();
        fs::write(left.join("file"), "left").unwrap();
    }
    remote.delete(&model.manifest().name).unwrap();
    remote.sync().unwrap();
    assert_eq!(cached(&remote), None);
    assert!(!left[0].exists(), "it was of the same model");
    let again = open(&s3, BUCKET, SECRET, cache.path());
    assert!(!left[1].exists(), "the start clears it");
    again.push(&model).unwrap();
    again.sync().unwrap();
    assert_eq!(cached(&again).as_deref(), Some(model.digest()));
}

#[test]
fn after_the_end_nothing_is_fetched() {
    let s3 = S3::start();
    let cache = tempfile::tempdir().unwrap();
    let remote = open(&s3, BUCKET, SECRET, cache.path());
    remote.push(&model(0).1).unwrap();
    let places = remote.look().unwrap();
    assert_eq!(places, [remote.folder().join("a")]);
    remote.end();
    assert!(matches!(remote.bring(&places[0]), Err(RemoteError::Ended)));
    assert_eq!(cached(&remote), None);
}

#[test]
fn what_is_wrong_with_a_store_is_said() {
    let s3 = S3::start();
    let cache = tempfile::tempdir().unwrap();
    let error = |bucket, secret| open(&s3, bucket, secret, cache.path()).sync().unwrap_err();
    let found = error(BUCKET, "wrong");
    assert!(
        matches!(found, RemoteError::Credentials { .. }),
        "{found:?}"
    );
    let found = error("other", SECRET);
    assert!(matches!(found, RemoteError::Missing { .. }), "{found:?}");
    let handle = CLIENT.handle().clone();
    let wrong = Remote::open("ftp://models/prefix", cache.path(), handle).unwrap_err();
    assert!(matches!(wrong, RemoteError::Address { .. }));
}

#[test]
fn a_store_that_does_not_answer_takes_nothing_from_the_cache() {
    let mut s3 = S3::start();
    let cache = tempfile::tempdir().unwrap();
    let remote = open(&s3, BUCKET, SECRET, cache.path());
    let (_made, model) = model(0);
    remote.push(&model).unwrap();
    remote.sync().unwrap();
    s3.address.set_port(1); // nobody listens there
    let remote = open(&s3, BUCKET, SECRET, cache.path());
    assert!(matches!(
        remote.sync(),
        Err(RemoteError::Unreachable { .. })
    ));
    assert_eq!(cached(&remote).as_deref(), Some(model.digest()));
}
