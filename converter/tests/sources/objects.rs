//! Objects beside weights: left out and listed, never called or built. What could run code refuses the file.

use detcon_converter::import::ImportOptions;

use super::Case;
use super::network::{Tensor, tiny};
use super::pickled::{Item, archive, dict, text};

/// The tiny network's state dict.
fn weights() -> Vec<(String, Item)> {
    let pairs = tiny(1).into_iter();
    pairs
        .map(|(name, tensor)| (name, Item::Tensor(tensor)))
        .collect()
}

/// A checkpoint with something under the key `extra`.
fn beside(extra: Vec<u8>) -> Case {
    let item = dict([
        ("state_dict", Item::Dict(weights())),
        ("extra", Item::Raw(extra)),
    ]);
    Case::new("checkpoint.pth", &archive(&item))
}

fn global(module: &str, name: &str) -> Vec<u8> {
    format!("c{module}\n{name}\n").into_bytes()
}

fn reduced(module: &str, name: &str, arguments: &[u8]) -> Vec<u8> {
    [&global(module, name), &b"("[..], arguments, b"tR"].concat()
}

fn made(module: &str, name: &str, state: &[u8]) -> Vec<u8> {
    [&global(module, name), &b")\x81"[..], state].concat()
}

/// What state an object is given, and what items a mapping's subclass.
fn state() -> Vec<u8> {
    [&b"}"[..], &text("a"), b"K\x01sb"].concat()
}

fn items() -> Vec<u8> {
    [&b"("[..], &text("a"), b"K\x01u"].concat()
}

/// Values, which a call makes: module, name, arguments.
const VALUES: [(&str, &str, &[u8]); 7] = [
    ("pathlib", "PosixPath", b"X\x04\x00\x00\x00runs"),
    ("datetime", "timedelta", b"K\x01K\x00K\x00"),
    ("__builtin__", "slice", b"K\x00K\x01N"),
    ("__builtin__", "complex", b"K\x00K\x01"),
    ("torch", "device", b"X\x04\x00\x00\x00cuda"),
    (
        "pytorch_lightning.trainer.states",
        "TrainerFn",
        b"X\x03\x00\x00\x00fit",
    ),
    (
        "numpy.random._pickle",
        "__generator_ctor",
        b"X\x05\x00\x00\x00PCG64",
    ),
];
/// Classes whose objects are made and then given their state.
const CLASSES: [(&str, &str); 5] = [
    ("argparse", "Namespace"),
    ("uuid", "UUID"),
    ("omegaconf.dictconfig", "DictConfig"),
    ("__main__", "Config"),
    ("torch.optim.adam", "Adam"),
];
/// Names that stand by themselves.
const NAMES: [(&str, &str); 2] = [("torch", "float32"), ("numpy", "float64")];

/// Objects that are no weights: the class, and opcodes that leave one.
fn objects() -> Vec<(String, Vec<u8>)> {
    let values =
        VALUES.map(|(module, name, arguments)| (module, name, reduced(module, name, arguments)));
    let classes = CLASSES.map(|(module, name)| (module, name, made(module, name, &state())));
    let names = NAMES.map(|(module, name)| (module, name, global(module, name)));
    // As protocols 0 and 1 write an object.
    let older = [
        global("argparse", "Namespace"),
        global("__builtin__", "object"),
        b"N".to_vec(),
    ];
    let older = [
        reduced("copy_reg", "_reconstructor", &older.concat()),
        state(),
    ]
    .concat();
    let lightning = "pytorch_lightning.utilities.parsing";
    let more = [
        ("argparse", "Namespace", older),
        (
            "types",
            "SimpleNamespace",
            [reduced("types", "SimpleNamespace", b""), state()].concat(),
        ),
        (
            lightning,
            "AttributeDict",
            made(lightning, "AttributeDict", &items()),
        ),
    ];
    let all = values.into_iter().chain(classes).chain(names).chain(more);
    all.map(|(module, name, opcodes)| (format!("{module}.{name}"), opcodes))
        .collect()
}

#[test]
fn objects_that_are_no_weights_are_left_out_and_listed() {
    for (class, opcodes) in objects() {
        let case = beside(opcodes);
        case.import(&ImportOptions::default())
            .unwrap_or_else(|error| panic!("{class}: {error}"));
        let aside = case.aside();
        let told = aside
            .iter()
            .find(|(key, _)| key == "extra")
            .map(|row| row.1.as_str());
        assert!(
            told.is_some_and(|told| told.contains(&class)),
            "{class}: {aside:?}"
        );
    }
}

#[test]
fn classes_and_members_of_enums_may_be_keys() {
    let key = global(
        "pytorch_lightning.callbacks.model_checkpoint",
        "ModelCheckpoint",
    );
    let case = beside([&b"}"[..], &key, b"}s"].concat());
    case.import(&ImportOptions::default()).unwrap();
}

#[test]
fn a_tensor_with_attributes_is_a_tensor_and_one_of_its_own_class_is_not_built() {
    let tensor = |class: Vec<u8>, name: &str| {
        let mut pairs = weights();
        let at = pairs.iter().position(|row| row.0 == name).unwrap();
        let Item::Tensor(tensor) = pairs[at].1.clone() else {
            panic!("{name}");
        };
        // The tensor's own opcodes end in `R` on its function and arguments: they are the first and third here.
        let shape: Vec<u8> = tensor
            .shape
            .iter()
            .flat_map(|&axis| [b'K', u8::try_from(axis).unwrap()])
            .collect();
        let count = i32::try_from(tensor.values.len()).unwrap().to_le_bytes();
        let arguments = [
            &b"(("[..],
            &text("storage"),
            b"ctorch\nFloatStorage\n",
            &text("0"),
            &text("cpu"),
            b"J",
            &count,
            b"tQK\x00(",
            &shape,
            b"t(K\x01t\x89ccollections\nOrderedDict\n)Rt",
        ]
        .concat();
        pairs[at].1 = Item::Raw(
            [
                &b"ctorch._tensor\n_rebuild_from_type_v2\n(ctorch._utils\n_rebuild_tensor_v2\n"[..],
                &class,
                &arguments,
                b"}tR",
            ]
            .concat(),
        );
        // Storage 0 is that of the first tensor that is written: the same one.
        let first = ("first".to_owned(), Item::Tensor(tensor));
        let item = dict([("a", Item::Dict(vec![first])), ("model", Item::Dict(pairs))]);
        Case::new("checkpoint.pth", &archive(&item))
    };
    let name = "bn1.bias";
    let plain = tensor(global("torch", "Tensor"), name);
    plain.import(&ImportOptions::default()).unwrap();
    let own = tensor(global("mine.tensors", "Scaled"), name);
    let error = own.refused(&ImportOptions::default());
    assert!(
        error.contains(name) && error.contains("mine.tensors.Scaled"),
        "{error}"
    );
}

#[test]
fn what_could_run_code_refuses_the_file_wherever_it_stands() {
    let command = text("touch ran");
    for (told, opcodes) in [
        ("posix.system", reduced("posix", "system", &command)),
        ("subprocess.Popen", made("subprocess", "Popen", b"")),
        ("builtins.eval", global("builtins", "eval")),
        (
            "functools.partial",
            reduced("functools", "partial", &command),
        ),
        ("torch.hub.load", reduced("torch.hub", "load", &command)),
        ("psutil.Popen", reduced("psutil", "Popen", &command)),
        ("__main__.run", reduced("__main__", "run", &command)),
        ("numpy.load", reduced("numpy", "load", &command)),
    ] {
        let error = beside(opcodes).refused(&ImportOptions::default());
        assert!(
            error.contains(told) && error.contains("only data constructors are allowed"),
            "{error}"
        );
    }
    // What an object or a class is given is not run either, and neither is called again.
    for opcodes in [
        [reduced("torch", "device", &text("cpu")), b")R".to_vec()].concat(),
        [global("argparse", "Namespace"), b"}b".to_vec()].concat(),
    ] {
        let error = beside(opcodes).refused(&ImportOptions::default());
        assert!(error.contains("hostile"), "{error}");
    }
}

#[test]
fn a_whole_model_says_how_to_save_its_weights() {
    let model = Item::Raw(made("torchvision.models.resnet", "ResNet", b"}b"));
    let error = Case::new("model.pth", &archive(&model)).refused(&ImportOptions::default());
    assert!(
        error.contains("torchvision.models.resnet.ResNet") && error.contains("state_dict()"),
        "{error}"
    );
}

/// Objects that hold themselves and each other cost what their opcodes do.
#[test]
fn objects_that_hold_themselves_are_left_out_as_any_other() {
    let mut deep = Vec::new();
    for _ in 0..50_000 {
        deep.extend(made("argparse", "Namespace", b"}"));
        deep.extend(text("n"));
    }
    deep.extend(b"N");
    deep.extend(b"sb".repeat(50_000));
    let itself = [
        made("argparse", "Namespace", b"q\x05}"),
        text("me"),
        b"h\x05sb".to_vec(),
    ]
    .concat();
    for opcodes in [itself, deep] {
        let case = beside(opcodes);
        case.import(&ImportOptions::default()).unwrap();
        assert!(case.aside().iter().any(|row| row.0 == "extra"));
    }
}

#[test]
fn a_tensor_beside_the_network_never_hides_it() {
    let one = || Item::Tensor(Tensor::of(&[], 3));
    let item = dict([
        ("best_acc1", one()),
        ("state_dict", Item::Dict(weights())),
        ("rng", Item::List(vec![one()])),
        ("queue", dict([("queue", one())])),
    ]);
    let case = Case::new("checkpoint.pth", &archive(&item));
    case.import(&ImportOptions::default()).unwrap();
    let aside = case.aside();
    for key in ["best_acc1", "rng", "queue"] {
        assert!(
            aside.iter().any(|row| row.0.starts_with(key)),
            "{key}: {aside:?}"
        );
    }
}
