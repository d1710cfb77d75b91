//! Servers that are killed between any two requests to the store, and readers that begin between them.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::models::store::remote::push::PART;

/// The model's objects, by their paths in its folder.
pub(super) fn objects(s3: &S3) -> BTreeSet<String> {
    fn take(folder: &Path, within: &str, objects: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let entry = entry.unwrap();
            let name = format!("{within}{}", entry.file_name().to_str().unwrap());
            if entry.file_type().unwrap().is_dir() {
                take(&entry.path(), &format!("{name}/"), objects);
            } else {
                objects.insert(name);
            }
        }
    }
    let mut objects = BTreeSet::new();
    take(&folder(s3), "", &mut objects);
    objects
}

/// What the objects are of a model that a server wrote.
pub(super) fn expected(model: &ModelDirectory) -> BTreeSet<String> {
    let files = model.manifest().files.values().map(|it| it.sha256.as_str());
    let digests = files.chain([model.digest()]);
    let objects = digests.map(|digest| format!("objects/{digest}"));
    objects.chain([file::MANIFEST.to_owned()]).collect()
}

/// What a reader with an empty cache has of the store; a model that is not whole is an error.
fn read(s3: &S3) -> Result<Option<String>, RemoteError> {
    let cache = tempfile::tempdir().unwrap();
    let reader = open(s3, BUCKET, SECRET, cache.path());
    for place in reader.look()? {
        reader.bring(&place)?;
    }
    Ok(cached(&reader))
}

/// Does the first `most` requests and no more; what it gives counts those that were asked.
fn kill_after(s3: &S3, most: usize) -> Arc<AtomicUsize> {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    s3.ask(move || counter.fetch_add(1, Ordering::Relaxed) < most);
    asked
}

/// A store of one model, however it came there, and how it came.
type Lay = fn(&S3, &ModelDirectory);

fn write(s3: &S3, model: &ModelDirectory) {
    let cache = tempfile::tempdir().unwrap();
    open(s3, BUCKET, SECRET, cache.path()).push(model).unwrap();
}

/// Kills the server at each step of `change` until it needs no more; what readers had after each.
fn at_every_step(
    lay: Lay,
    before: &ModelDirectory,
    change: impl Fn(&Remote) -> Result<(), RemoteError>,
    look: impl Fn(&S3),
) -> Vec<Option<String>> {
    let mut seen = Vec::new();
    for step in 0.. {
        let s3 = S3::start();
        lay(&s3, before);
        let cache = tempfile::tempdir().unwrap();
        let writer = open(&s3, BUCKET, SECRET, cache.path());
        let asked = kill_after(&s3, step);
        let changed = change(&writer);
        let over = asked.load(Ordering::Relaxed) <= step;
        s3.ask(|| true);
        seen.push(read(&s3).unwrap());
        look(&s3);
        if over {
            changed.unwrap();
            break;
        }
    }
    seen
}

#[test]
fn a_server_killed_at_any_step_of_a_replacement_leaves_readers_the_old_model_or_the_new() {
    let (_made, old) = model(0);
    let (_made, new) = model(1);
    for lay in [write as Lay, copy] {
        let again = |s3: &S3| {
            write(s3, &new);
            assert_eq!(read(s3).unwrap().as_deref(), Some(new.digest()));
        };
        let seen = at_every_step(lay, &old, |writer| writer.push(&new), again);
        let turn = seen
            .iter()
            .position(|seen| seen.as_deref() == Some(new.digest()));
        let turn = turn.expect("it is replaced in the end");
        let (olds, news) = seen.split_at(turn);
        println!(
            "{} kills: {} readers of the old, {} of the new",
            seen.len() - 1,
            olds.len(),
            news.len()
        );
        assert!(
            olds.iter()
                .all(|seen| seen.as_deref() == Some(old.digest())),
            "{seen:?}"
        );
        assert!(
            news.iter()
                .all(|seen| seen.as_deref() == Some(new.digest())),
            "{seen:?}"
        );
        // One request for each file before the old model goes, and some after.
        assert!(
            turn > new.manifest().files.len() && news.len() > 1,
            "{seen:?}"
        );
    }
}

/// Objects that are written in pieces appear as a whole or not at all.
#[test]
fn a_server_killed_while_it_writes_an_object_in_pieces_leaves_readers_the_old_model_or_the_new() {
    let (_made, old) = model(0);
    let (_made, new) = model_of("resnet18", 1);
    let pieces = new.manifest().files[file::BACKBONE].bytes / PART as u64;
    let backbone = |s3: &S3| fs::metadata(object(s3, &new, file::BACKBONE));
    let s3 = S3::start();
    write(&s3, &old);
    let mut kills = 0;
    for step in (0..).step_by(2) {
        let cache = tempfile::tempdir().unwrap();
        let writer = open(&s3, BUCKET, SECRET, cache.path());
        let asked = kill_after(&s3, step);
        let pushed = writer.push(&new);
        s3.ask(|| true);
        if let Ok(there) = backbone(&s3) {
            assert_eq!(there.len(), new.manifest().files[file::BACKBONE].bytes);
        }
        if asked.load(Ordering::Relaxed) <= step {
            pushed.unwrap();
            break;
        }
        kills += 1;
        let found = read(&s3).unwrap().expect("there is a model all the time");
        assert!([old.digest(), new.digest()].contains(&found.as_str()));
    }
    assert_eq!(read(&s3).unwrap().as_deref(), Some(new.digest()));
    assert!(objects(&s3).is_superset(&expected(&new)));
    assert!(kills > pieces / 2, "{kills} kills of {pieces} pieces");
}

#[test]
fn a_server_killed_at_any_step_of_a_first_write_leaves_readers_nothing_or_the_model() {
    let (_made, new) = model(1);
    let nothing: Lay = |_, _| {};
    let seen = at_every_step(nothing, &new, |writer| writer.push(&new), |_| {});
    let turn = seen.iter().position(Option::is_some).unwrap();
    assert!(turn > new.manifest().files.len());
    assert!(
        seen[turn..]
            .iter()
            .all(|seen| seen.as_deref() == Some(new.digest()))
    );
}

#[test]
fn a_server_killed_at_any_step_of_a_removal_leaves_readers_the_model_or_nothing() {
    let (_made, old) = model(0);
    for lay in [write as Lay, copy] {
        let name = &old.manifest().name;
        let again = |s3: &S3| {
            let cache = tempfile::tempdir().unwrap();
            open(s3, BUCKET, SECRET, cache.path()).delete(name).unwrap();
            assert_eq!(objects(s3), BTreeSet::new());
        };
        let seen = at_every_step(lay, &old, |writer| writer.delete(name), again);
        assert_eq!(seen[0].as_deref(), Some(old.digest()));
        assert!(seen[1..].iter().all(Option::is_none), "{seen:?}");
        assert!(seen.len() > 2, "a listing and a removal come after");
    }
}

/// The objects of before are gone when the new ones are there, as after a replacement.
#[test]
fn a_reader_whose_model_is_replaced_before_any_of_its_requests_has_the_old_model_or_the_new() {
    let (_made, old) = model(0);
    let (_made, new) = model(1);
    for lay in [write as Lay, copy] {
        let mut seen = BTreeSet::new();
        for step in 0.. {
            let s3 = S3::start();
            lay(&s3, &old);
            let (place, aside) = (folder(&s3), s3.folder.path().join("aside"));
            fs::rename(&place, &aside).unwrap();
            write(&s3, &new);
            let next = s3.folder.path().join("next");
            fs::rename(&place, &next).unwrap();
            fs::rename(&aside, &place).unwrap();
            let mut asked = 0;
            let over = Arc::new(AtomicUsize::new(0));
            let counter = Arc::clone(&over);
            s3.ask(move || {
                if asked == step {
                    fs::rename(&place, &aside).unwrap();
                    fs::rename(&next, &place).unwrap();
                }
                asked += 1;
                counter.store(asked, Ordering::Relaxed);
                true
            });
            let found = read(&s3).unwrap().expect("there is a model all the time");
            if over.load(Ordering::Relaxed) <= step {
                assert_eq!(found, old.digest());
                break;
            }
            seen.insert(found);
        }
        println!("readers had {seen:?}");
        assert!(seen.contains(new.digest()));
        assert!(
            seen.iter()
                .all(|seen| [old.digest(), new.digest()].contains(&seen.as_str()))
        );
    }
}

#[test]
fn objects_that_another_server_takes_away_in_the_same_moment_are_written_again() {
    let (_made, old) = model(0);
    let (_made, new) = model(1);
    let s3 = S3::start();
    write(&s3, &old);
    // The other's removal comes right after the head has turned: after the new one's files, its manifest and two heads.
    let (mut asked, objects_folder) = (0, folder(&s3).join("objects"));
    let turn = new.manifest().files.len() + 3;
    let lost = object(&s3, &new, file::BACKBONE);
    s3.ask(move || {
        if asked == turn {
            fs::remove_file(objects_folder.join(lost.file_name().unwrap())).unwrap();
        }
        asked += 1;
        true
    });
    write(&s3, &new);
    assert_eq!(read(&s3).unwrap().as_deref(), Some(new.digest()));
    assert_eq!(objects(&s3), expected(&new));
}

/// Objects that nothing leads to are removed when they are a day old: another server may be writing them.
#[test]
fn what_killed_servers_left_goes_with_a_later_write() {
    let (_made, old) = model(0);
    let (_made, new) = model(1);
    let s3 = S3::start();
    write(&s3, &old);
    let left = ["0", "1"].map(|digit| folder(&s3).join("objects").join(digit.repeat(64)));
    for left in &left {
        fs::write(left, "left").unwrap();
    }
    let yesterday = std::time::SystemTime::now() - std::time::Duration::from_hours(25);
    let file = fs::File::options().append(true).open(&left[0]).unwrap();
    file.set_modified(yesterday).unwrap();
    write(&s3, &new);
    assert_eq!((left[0].exists(), left[1].exists()), (false, true));
    assert_eq!(read(&s3).unwrap().as_deref(), Some(new.digest()));
}
