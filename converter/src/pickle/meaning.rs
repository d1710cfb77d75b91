//! What a global that is no constructor of data means. Python's own modules can do anything, so their names are allowed
//! one by one; of other modules, whose code the file cannot bring along, classes may be named and made objects of, which
//! calls no more than `__new__`. A call of what is not in the table could run anything.

use super::allow::{self, Constructor};

/// What a global means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// It makes data.
    Data(Constructor),
    /// It makes objects that are no data: they are not built.
    Foreign(Call),
    /// It could run code.
    Forbidden,
}

/// What calling a class or function that is not built would do in Python.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// Make a value, and nothing else.
    Inert,
    /// Nobody knows here.
    Unknown,
}

/// Classes and functions that make a value and do nothing else, by the module they are pickled under.
///
/// Source: what `__reduce_ex__` gives in `CPython`'s `Lib/argparse.py`, `pathlib.py`, `datetime.py`, `uuid.py`, `decimal.py`,
/// `fractions.py`, `types` and its built-in types; `_get_allowed_globals` of `PyTorch`'s `torch/_weights_only_unpickler.py`;
/// `numpy/random/_pickle.py`; the enums of Lightning's `trainer/states.py` and torchvision's `transforms/functional.py`.
const INERT: &[(&[&str], &[&str])] = &[
    (
        &["builtins", "__builtin__"],
        &[
            "object",
            "slice",
            "range",
            "xrange",
            "complex",
            "int",
            "long",
            "float",
            "bool",
            "str",
            "unicode",
            "type",
            "Ellipsis",
            "NotImplemented",
        ],
    ),
    (&["argparse"], &["Namespace"]),
    (&["types"], &["SimpleNamespace"]),
    (
        &["typing"],
        &["Any", "Union", "Optional", "List", "Dict", "Tuple"],
    ),
    (
        &["pathlib", "pathlib._local"],
        &[
            "Path",
            "PosixPath",
            "WindowsPath",
            "PurePath",
            "PurePosixPath",
            "PureWindowsPath",
        ],
    ),
    (
        &["datetime"],
        &["date", "datetime", "time", "timedelta", "timezone"],
    ),
    (&["decimal"], &["Decimal"]),
    (&["fractions"], &["Fraction"]),
    (&["uuid"], &["UUID", "SafeUUID"]),
    (&["collections"], &["deque", "Counter", "namedtuple"]),
    (&["enum"], &["Enum", "IntEnum", "Flag", "IntFlag"]),
    (&["torch"], &["device", "Generator"]),
    (&["torch._C"], &["Generator", "device"]),
    (&["torch.serialization"], &["_get_layout"]),
    (
        &["torch._utils"],
        &[
            "_rebuild_tensor",
            "_rebuild_tensor_v3",
            "_rebuild_qtensor",
            "_rebuild_sparse_tensor",
            "_rebuild_meta_tensor_no_storage",
            "_rebuild_wrapper_subclass",
            "_rebuild_device_tensor_from_numpy",
            "_rebuild_device_tensor_from_cpu_tensor",
        ],
    ),
    (
        &["numpy.random._pickle"],
        &[
            "__randomstate_ctor",
            "__generator_ctor",
            "__bit_generator_ctor",
        ],
    ),
    (
        &[
            "pytorch_lightning.trainer.states",
            "lightning.pytorch.trainer.states",
        ],
        &["TrainerFn", "TrainerStatus", "RunningStage"],
    ),
    (
        &["torchvision.transforms.functional"],
        &["InterpolationMode"],
    ),
    (&["PIL.Image"], &["Resampling"]),
];

/// Python's own modules and packages but for those whose names start with `_`, of Python 2 as well.
///
/// Source: `sys.stdlib_module_names` of `CPython` 3.11, and the renamed modules of `Lib/_compat_pickle.py`.
const STANDARD: &str = "\
    abc aifc antigravity argparse array ast asynchat asyncio asyncore atexit audioop base64 bdb binascii bisect builtins \
    bz2 cProfile calendar cgi cgitb chunk cmath cmd code codecs codeop collections colorsys compileall concurrent \
    configparser contextlib contextvars copy copyreg crypt csv ctypes curses dataclasses datetime dbm decimal difflib dis \
    distutils doctest email encodings ensurepip enum errno faulthandler fcntl filecmp fileinput fnmatch fractions ftplib \
    functools gc genericpath getopt getpass gettext glob graphlib grp gzip hashlib heapq hmac html http idlelib imaplib \
    imghdr imp importlib inspect io ipaddress itertools json keyword lib2to3 linecache locale logging lzma mailbox mailcap \
    marshal math mimetypes mmap modulefinder msilib msvcrt multiprocessing netrc nis nntplib nt ntpath nturl2path numbers \
    opcode operator optparse os ossaudiodev pathlib pdb pickle pickletools pipes pkgutil platform plistlib poplib posix \
    posixpath pprint profile pstats pty pwd py_compile pyclbr pydoc pydoc_data pyexpat queue quopri random re readline \
    reprlib resource rlcompleter runpy sched secrets select selectors shelve shlex shutil signal site smtpd smtplib sndhdr \
    socket socketserver spwd sqlite3 sre_compile sre_constants sre_parse ssl stat statistics string stringprep struct \
    subprocess sunau symtable sys sysconfig syslog tabnanny tarfile telnetlib tempfile termios textwrap this threading time \
    timeit tkinter token tokenize tomllib trace traceback tracemalloc tty turtle turtledemo types typing unicodedata \
    unittest urllib uu uuid venv warnings wave weakref webbrowser winreg winsound wsgiref xdrlib xml xmlrpc zipapp zipfile \
    zipimport zlib zoneinfo \
    anydbm BaseHTTPServer CGIHTTPServer commands ConfigParser cookielib Cookie copy_reg cPickle cStringIO dbhash Dialog \
    DocXMLRPCServer dummy_thread dumbdbm exceptions FileDialog gdbm htmlentitydefs HTMLParser httplib itertools Queue \
    repr robotparser ScrolledText SimpleDialog SimpleHTTPServer SimpleXMLRPCServer SocketServer StringIO test thread Tix \
    Tkinter tkColorChooser ttk urllib2 urlparse UserDict UserList UserString whichdb xmlrpclib";

/// The module of the script that saved the file.
const SCRIPT: &str = "__main__";

/// What the global of this name means.
pub(super) fn meaning(module: &str, name: &str) -> Meaning {
    if let Some(constructor) = allow::constructor(module, name) {
        return Meaning::Data(constructor);
    }
    let row =
        |(modules, names): &(&[&str], &[&str])| modules.contains(&module) && names.contains(&name);
    if INERT.iter().any(row) {
        return Meaning::Foreign(Call::Inert);
    }
    let package = module.split('.').next().unwrap_or_default();
    let own = package.starts_with('_') && package != SCRIPT
        || STANDARD.split_whitespace().any(|it| it == package);
    // A name with dots would reach through the module to what it imports.
    if own || package.is_empty() || name.is_empty() || name.contains('.') {
        Meaning::Forbidden
    } else {
        Meaning::Foreign(Call::Unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_run_code_where_python_reads_it_is_forbidden() {
        for (module, name) in [
            ("posix", "system"),
            ("nt", "system"),
            ("os", "system"),
            ("subprocess", "Popen"),
            ("builtins", "eval"),
            ("__builtin__", "getattr"),
            ("_io", "FileIO"),
            ("importlib", "import_module"),
            ("urllib.request", "urlopen"),
            ("functools", "partial"),
            ("types", "CodeType"),
            ("commands", "getoutput"),
            ("numpy", "f2py.os.system"),
            ("optax._src", "x.os.system"),
            ("", "x"),
            ("x", ""),
        ] {
            assert_eq!(meaning(module, name), Meaning::Forbidden, "{module}.{name}");
        }
    }

    #[test]
    fn objects_that_are_no_weights_are_known_as_such() {
        for (module, name) in [
            ("argparse", "Namespace"),
            ("pathlib", "PosixPath"),
            ("datetime", "datetime"),
            ("__builtin__", "slice"),
            ("torch", "device"),
        ] {
            let inert = Meaning::Foreign(Call::Inert);
            assert_eq!(meaning(module, name), inert, "{module}.{name}");
        }
        for (module, name) in [
            ("torch", "float32"),
            ("torch.optim.adam", "Adam"),
            ("omegaconf.dictconfig", "DictConfig"),
            ("__main__", "Config"),
            ("numpy", "float64"),
        ] {
            let unknown = Meaning::Foreign(Call::Unknown);
            assert_eq!(meaning(module, name), unknown, "{module}.{name}");
        }
    }
}
