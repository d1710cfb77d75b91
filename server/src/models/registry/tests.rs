//! Models that are taken off, served and refused while others are loaded.

use std::fs;
use std::sync::mpsc;

use detcon_converter::demo::demo;
use detcon_core::files::Existing;
use detcon_inference::OpenError;

use super::*;
use crate::testing::{answers, model_in};

/// What an open comes to.
type Outcome = fn(&Path) -> Result<Model, Refusal>;

/// Opens a model when it is told how that ends, and says when it has begun.
struct Gated {
    begun: Mutex<mpsc::Sender<()>>,
    outcomes: Mutex<mpsc::Receiver<Outcome>>,
}

impl Opener for Gated {
    fn open(
        &self,
        path: &Path,
        _stats: Arc<crate::observe::EngineStats>,
    ) -> Result<Model, Refusal> {
        self.begun.lock().unwrap().send(()).unwrap();
        let outcome = self.outcomes.lock().unwrap().recv().unwrap();
        outcome(path)
    }

    fn check(&self, _path: &Path) -> Result<(), Refusal> {
        Ok(())
    }
}

#[expect(clippy::unnecessary_wraps, reason = "an outcome may be either")]
fn whole(path: &Path) -> Result<Model, Refusal> {
    Ok(model_in(path, answers(), 4))
}

fn failed(kind: std::io::ErrorKind) -> Result<Model, Refusal> {
    let error = ModelError::Io {
        path: "model.onnx".into(),
        source: kind.into(),
    };
    Err(Refusal::Open(OpenError::Directory(error)))
}

/// A registry of nothing, and the model `a` in a folder.
struct Scene {
    registry: Arc<Registry>,
    begun: mpsc::Receiver<()>,
    outcomes: mpsc::Sender<Outcome>,
    place: PathBuf,
    _folder: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("a");
        demo(&place, Existing::Keep, "tiny".parse().unwrap(), 0).unwrap();
        let ((begun, receiver), (outcomes, waiting)) = (mpsc::channel(), mpsc::channel());
        let opener = Gated {
            begun: Mutex::new(begun),
            outcomes: Mutex::new(waiting),
        };
        let registry = Registry::new(BTreeMap::new(), None, Box::new(opener));
        Self {
            registry: Arc::new(registry),
            begun: receiver,
            outcomes,
            place,
            _folder: folder,
        }
    }

    /// Loads the model, which ends as `outcome` says, with `meanwhile` while it is at it.
    fn load(&self, noticed: Moment, outcome: Outcome, meanwhile: impl FnOnce()) -> Loaded {
        let (registry, place) = (Arc::clone(&self.registry), self.place.clone());
        let loading = std::thread::spawn(move || registry.load(&place, noticed));
        self.begun.recv().unwrap();
        meanwhile();
        self.outcomes.send(outcome).unwrap();
        loading.join().unwrap()
    }

    fn load_now(&self, outcome: Outcome) -> Loaded {
        self.load(self.registry.now(), outcome, || {})
    }

    fn is_served(&self) -> bool {
        self.registry.find(Some("a")).is_ok()
    }

    /// Puts another model in the place of the one that is there, with another manifest.
    fn replace(&self) {
        let manifest = self.place.join(detcon_core::model::file::MANIFEST);
        let mut bytes = fs::read(&manifest).unwrap();
        bytes.push(b'\n');
        fs::write(manifest, bytes).unwrap();
    }
}

#[test]
fn a_model_that_is_taken_off_while_it_is_loaded_is_not_served_after() {
    for outcome in [whole as Outcome, |_| failed(std::io::ErrorKind::NotFound)] {
        let scene = Scene::new();
        let noticed = scene.registry.now();
        scene.load(noticed, outcome, || scene.registry.remove("a"));
        assert!(scene.registry.states().is_empty(), "nor refused");
        scene.registry.unload_retired();
        assert!(scene.registry.retired.lock().unwrap().is_empty());
    }
}

#[test]
fn a_model_that_is_taken_off_while_its_successor_is_loaded_is_not_served_after() {
    for outcome in [whole as Outcome, |_| failed(std::io::ErrorKind::NotFound)] {
        let scene = Scene::new();
        scene.load_now(whole);
        assert!(scene.is_served());
        scene.replace();
        scene.load(scene.registry.now(), outcome, || scene.registry.remove("a"));
        assert!(scene.registry.states().is_empty());
        assert!(scene.registry.held_back().is_empty());
    }
}

#[test]
fn what_was_noticed_before_a_model_was_taken_off_is_not_loaded() {
    let scene = Scene::new();
    for noticed in [Moment::default(), scene.registry.now()] {
        scene.registry.remove("a");
        assert_eq!(scene.registry.load(&scene.place, noticed), Loaded::Decided);
        scene
            .registry
            .refuse(&scene.place, &Refusal::Panic, noticed);
        assert!(scene.registry.states().is_empty());
    }
    scene.load_now(whole);
    assert!(scene.is_served(), "it was asked for after");
}

#[test]
fn a_model_that_came_back_since_it_was_seen_to_be_gone_stays() {
    let scene = Scene::new();
    let noticed = scene.registry.now();
    scene.load_now(whole);
    scene.registry.remove_gone("a", noticed);
    assert!(scene.is_served());
    scene.registry.remove_gone("a", scene.registry.now());
    assert!(!scene.is_served());
}

#[test]
fn a_model_that_could_not_be_read_is_to_be_tried_again_and_one_that_is_wrong_is_not() {
    use std::io::ErrorKind;
    let outcomes: [(Outcome, Loaded); 4] = [
        (|_| failed(ErrorKind::PermissionDenied), Loaded::Unread),
        (
            |_| failed(ErrorKind::StaleNetworkFileHandle),
            Loaded::Unread,
        ),
        (|_| failed(ErrorKind::NotFound), Loaded::Decided),
        (|_| Err(Refusal::Panic), Loaded::Decided),
    ];
    for (outcome, expected) in outcomes {
        let scene = Scene::new();
        assert_eq!(scene.load_now(outcome), expected);
        assert!(matches!(
            scene.registry.find(Some("a")),
            Err(ModelsError::Refused { .. })
        ));
        assert_eq!(scene.load_now(whole), Loaded::Decided);
        assert!(scene.is_served());
        scene.replace();
        assert_eq!(scene.load_now(outcome), expected);
        assert!(scene.is_served(), "its successor takes nobody's place");
        assert_eq!(scene.registry.held_back().len(), 1);
        scene.load_now(whole);
        assert!(scene.registry.held_back().is_empty());
    }
}
