//! What is written may be read by whomever the umask lets read it, whichever crate writes it.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

/// The usual ones, none, and those that keep the group or everybody out.
const UMASKS: [u32; 5] = [0o022, 0o002, 0o000, 0o027, 0o077];

/// Runs the program under a umask, which a process has for all its threads: so in one of its own.
fn convert_under(umask: u32, arguments: &[&str]) {
    let output = Command::new("sh")
        .args(["-c", "umask \"$0\"; exec \"$@\"", &format!("{umask:o}")])
        .arg(env!("CARGO_BIN_EXE_detcon-convert"))
        .args(arguments)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
}

/// Holds everything at and below `path` against the umask; how many files there are.
fn files(path: &Path, umask: u32) -> usize {
    let found = path.symlink_metadata().unwrap();
    let usual = if found.is_dir() { 0o777 } else { 0o666 };
    let mode = found.permissions().mode() & 0o777;
    assert_eq!(
        mode,
        usual & !umask,
        "{} is {mode:o} under {umask:03o}",
        path.display()
    );
    if found.is_dir() {
        let entries = fs::read_dir(path).unwrap();
        entries
            .map(|entry| files(&entry.unwrap().path(), umask))
            .sum()
    } else {
        1
    }
}

#[test]
fn every_file_and_folder_has_the_mode_that_the_umask_leaves() {
    let source = golden("tiny.released.npy");
    for umask in UMASKS {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let (model, made) = (at("store/model"), at("store/made"));
        convert_under(umask, &["import", source.to_str().unwrap(), &model]);
        convert_under(umask, &["demo", &made, "--arch", "tiny"]);
        let directory = ModelDirectory::open(Path::new(&model)).unwrap();
        assert!(directory.heads().is_some(), "it has every kind of file");
        for model in [&model, &made] {
            let manifest = ModelDirectory::open(Path::new(model)).unwrap();
            let listed = manifest.manifest().files.len();
            assert_eq!(files(Path::new(model), umask), listed + 1);
        }
    }
}

#[test]
fn what_is_exported_has_the_mode_that_the_umask_leaves() {
    for umask in [0o022, 0o027] {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let model = at("model");
        convert_under(umask, &["demo", &model, "--arch", "resnet50"]);
        for target in ["torchvision", "timm", "detectron2", "haiku"] {
            let out = at(&format!("out/{target}"));
            convert_under(umask, &["export", &model, "--to", target, &out]);
        }
        assert!(files(&PathBuf::from(at("out")), umask) >= 4);
    }
}
