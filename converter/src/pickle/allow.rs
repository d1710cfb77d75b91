//! The allow-list: every global that a pickle may name, and what it makes. Whatever is not in its two tables is
//! refused where it is named. No entry runs anything: each only tells the unpickler which value to build.

use std::fmt;

use super::dtype::DType;

/// What an allowed global makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Constructor {
    /// NumPy's `_reconstruct`: an empty array that state will fill.
    NumpyReconstruct,
    /// NumPy's `scalar`: a data type and the bytes of one element.
    NumpyScalar,
    /// NumPy's `_frombuffer` (protocol 5): bytes, data type, shape and order.
    NumpyFromBuffer,
    /// The class `numpy.ndarray`, which `NumpyReconstruct` is told to make.
    NumpyArray,
    /// `numpy.dtype`.
    NumpyDtype,
    /// A class that stands for a data type.
    ScalarType(DType),
    /// JAX's array: how NumPy would rebuild its value.
    JaxArray,
    /// dill's wrapping of an array: how NumPy would rebuild it. BYOL saves its checkpoints with dill.
    DillArray,
    /// dill's wrapping of a named tuple's class: name, fields, module.
    DillNamedTuple,
    /// A mapping, plain or immutable.
    Mapping,
    /// A mapping that is made with the constructor of its default values.
    DefaultDict,
    /// A list.
    List,
    /// A tuple.
    Tuple,
    /// A set.
    Set,
    /// Bytes.
    Bytes,
    /// `_codecs.encode`: how protocols 0 to 2 write bytes, as Latin-1 text.
    Encode,
    /// `copyreg._reconstructor`: how protocols 0 and 1 write a named tuple.
    Reconstructor,
    /// A class of PyTorch's storages: it only stands in the persistent id of one.
    TorchStorage(DType),
    /// PyTorch's `_rebuild_tensor_v2`: a view of a storage.
    TorchTensor,
    /// PyTorch's `_rebuild_parameter`, and the one with attributes: a tensor.
    TorchParameter,
    /// PyTorch's `_rebuild_from_type_v2`: a tensor with attributes, or of a class of its own.
    TorchFromType,
    /// `copyreg.__newobj__`: an object of a class.
    NewObject,
    /// A named tuple of an experiment's or an optimizer's state.
    NamedTuple,
}

impl fmt::Display for Constructor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::NumpyReconstruct => "numpy's _reconstruct",
            Self::NumpyScalar => "numpy's scalar",
            Self::NumpyFromBuffer => "numpy's _frombuffer",
            Self::NumpyArray => "numpy's ndarray",
            Self::NumpyDtype => "numpy's dtype",
            Self::ScalarType(_) => "a scalar type",
            Self::JaxArray => "jax's array",
            Self::DillArray => "dill's array",
            Self::DillNamedTuple => "dill's named tuple",
            Self::Mapping => "a mapping",
            Self::DefaultDict => "a defaultdict",
            Self::List => "a list",
            Self::Tuple => "a tuple",
            Self::Set => "a set",
            Self::Bytes => "bytes",
            Self::Encode => "_codecs.encode",
            Self::Reconstructor => "copyreg's _reconstructor",
            Self::TorchStorage(_) => "a torch storage",
            Self::TorchTensor => "torch's _rebuild_tensor_v2",
            Self::TorchParameter => "torch's _rebuild_parameter",
            Self::TorchFromType => "torch's _rebuild_from_type_v2",
            Self::NewObject => "copyreg's __newobj__",
            Self::NamedTuple => "a named tuple",
        })
    }
}

/// Which modules and names a row is for.
#[derive(Clone, Copy)]
enum Names {
    /// One name in each of these modules.
    In(&'static [&'static str], &'static str),
    /// Every plain name in modules below this package. The dot is part of it.
    Below(&'static str),
}

/// Python 3's and Python 2's name of the same module.
const BUILTINS: &[&str] = &["builtins", "__builtin__"];
/// NumPy 1's and NumPy 2's.
const MULTIARRAY: &[&str] = &["numpy.core.multiarray", "numpy._core.multiarray"];
const NUMERIC: &[&str] = &["numpy.core.numeric", "numpy._core.numeric"];
/// Where bfloat16 has lived.
const BFLOAT16: &[&str] = &[
    "ml_dtypes",
    "jaxlib.xla_extension",
    "jax._src.dtypes",
    "jax.numpy",
];
/// Where JAX's device arrays have lived before they were `jax.Array`.
const DEVICE_ARRAY: &[&str] = &[
    "jax._src.device_array",
    "jax.interpreters.xla",
    "jax._src.interpreters.xla",
];
const DILL: &[&str] = &["dill._dill", "dill.dill"];
const HAIKU: &[&str] = &["haiku._src.data_structures"];

/// The names of storages' classes in `torch`, and the type of their elements.
const STORAGES: [(&str, DType); 10] = [
    ("FloatStorage", DType::F32),
    ("HalfStorage", DType::F16),
    ("BFloat16Storage", DType::BF16),
    ("DoubleStorage", DType::F64),
    ("LongStorage", DType::I64),
    ("IntStorage", DType::I32),
    ("ShortStorage", DType::I16),
    ("CharStorage", DType::I8),
    ("ByteStorage", DType::U8),
    ("BoolStorage", DType::Bool),
];

/// The allow-list.
const ALLOWED: &[(Names, Constructor)] = &[
    (
        Names::In(MULTIARRAY, "_reconstruct"),
        Constructor::NumpyReconstruct,
    ),
    (Names::In(MULTIARRAY, "scalar"), Constructor::NumpyScalar),
    (
        Names::In(NUMERIC, "_frombuffer"),
        Constructor::NumpyFromBuffer,
    ),
    (Names::In(&["numpy"], "ndarray"), Constructor::NumpyArray),
    (Names::In(&["numpy"], "dtype"), Constructor::NumpyDtype),
    (
        Names::In(BFLOAT16, "bfloat16"),
        Constructor::ScalarType(DType::BF16),
    ),
    (
        Names::In(&["jax._src.array"], "_reconstruct_array"),
        Constructor::JaxArray,
    ),
    (
        Names::In(DEVICE_ARRAY, "reconstruct_device_array"),
        Constructor::JaxArray,
    ),
    (Names::In(DILL, "_create_array"), Constructor::DillArray),
    (
        Names::In(DILL, "_create_namedtuple"),
        Constructor::DillNamedTuple,
    ),
    (Names::In(HAIKU, "FlatMapping"), Constructor::Mapping),
    (Names::In(HAIKU, "FlatMap"), Constructor::Mapping),
    (Names::In(HAIKU, "frozendict"), Constructor::Mapping),
    (
        Names::In(&["collections"], "OrderedDict"),
        Constructor::Mapping,
    ),
    (
        Names::In(&["collections"], "defaultdict"),
        Constructor::DefaultDict,
    ),
    (Names::In(BUILTINS, "dict"), Constructor::Mapping),
    (Names::In(BUILTINS, "list"), Constructor::List),
    (Names::In(BUILTINS, "tuple"), Constructor::Tuple),
    (Names::In(BUILTINS, "set"), Constructor::Set),
    (Names::In(BUILTINS, "frozenset"), Constructor::Set),
    (Names::In(BUILTINS, "bytes"), Constructor::Bytes),
    (Names::In(BUILTINS, "bytearray"), Constructor::Bytes),
    (Names::In(&["_codecs"], "encode"), Constructor::Encode),
    (
        Names::In(&["copyreg", "copy_reg"], "_reconstructor"),
        Constructor::Reconstructor,
    ),
    (
        Names::In(&["torch._utils"], "_rebuild_tensor_v2"),
        Constructor::TorchTensor,
    ),
    (
        Names::In(&["torch._utils"], "_rebuild_parameter"),
        Constructor::TorchParameter,
    ),
    (
        Names::In(&["torch._utils"], "_rebuild_parameter_with_state"),
        Constructor::TorchParameter,
    ),
    (
        Names::In(&["torch._tensor"], "_rebuild_from_type_v2"),
        Constructor::TorchFromType,
    ),
    (
        Names::In(&["copyreg", "copy_reg"], "__newobj__"),
        Constructor::NewObject,
    ),
    (
        Names::In(&["flax.core.frozen_dict"], "FrozenDict"),
        Constructor::Mapping,
    ),
    (Names::In(&["torch"], "Size"), Constructor::Tuple),
    (Names::Below("byol."), Constructor::NamedTuple),
    (Names::Below("detcon."), Constructor::NamedTuple),
    (Names::Below("optax."), Constructor::NamedTuple),
];

impl Names {
    fn matches(self, module: &str, name: &str) -> bool {
        match self {
            Self::In(modules, only) => only == name && modules.contains(&module),
            // A dotted name would reach through the module to what it imports (`optax._src.x`, `np.f`): nothing
            // runs here, but it is no class of that package, so the file is not what it seems.
            Self::Below(package) => module.starts_with(package) && !name.contains('.'),
        }
    }
}

/// What the global makes, if it is allowed.
pub(super) fn constructor(module: &str, name: &str) -> Option<Constructor> {
    if module == "torch"
        && let Some(&(_, dtype)) = STORAGES.iter().find(|row| row.0 == name)
    {
        return Some(Constructor::TorchStorage(dtype));
    }
    ALLOWED
        .iter()
        .find(|(names, _)| names.matches(module, name))
        .map(|&(_, constructor)| constructor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_outside_the_table_make_nothing() {
        for (module, name) in [
            ("posix", "system"),
            ("builtins", "eval"),
            ("builtins", "getattr"),
            ("numpy", "load"),
            ("numpy.core.multiarray", "fromfile"),
            ("optax", "chain"),
            ("optaxx.y", "z"),
            ("detcon.a", "os.system"),
            ("byol", "x"),
            ("", ""),
        ] {
            assert_eq!(constructor(module, name), None, "{module}.{name}");
        }
    }

    #[test]
    fn numpy_1_and_2_names_make_the_same() {
        for module in MULTIARRAY {
            assert_eq!(
                constructor(module, "_reconstruct"),
                Some(Constructor::NumpyReconstruct)
            );
        }
    }
}
