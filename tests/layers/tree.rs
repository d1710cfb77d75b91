//! The modules of a crate, library and program, and what a path means in one of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::source::{Child, Contents, Reference};

/// Imports of imports that are followed: more than any program has, and an end where two name each other.
const HOPS: usize = 16;

/// A module.
#[derive(Debug)]
pub(crate) struct Module {
    /// Its names from the crate's root on.
    pub(crate) place: Vec<String>,
    /// Its file, from the workspace's root on.
    pub(crate) file: PathBuf,
    pub(crate) references: Vec<Reference>,
    imports: Vec<(String, Vec<String>)>,
    children: BTreeMap<String, usize>,
    root: usize,
    parent: Option<usize>,
}

/// The modules of a crate.
#[derive(Debug)]
pub(crate) struct Tree {
    /// The library's name, by which the program calls it.
    name: String,
    pub(crate) modules: Vec<Module>,
}

impl Tree {
    /// Reads `source` (a crate's `src`) below `workspace`, and says which modules have no file.
    pub(crate) fn read(workspace: &Path, source: &Path, name: &str) -> (Self, Vec<String>) {
        let modules = Vec::new();
        let mut tree = Self {
            name: name.replace('-', "_"),
            modules,
        };
        let mut faults = Vec::new();
        for root in ["lib.rs", "main.rs"] {
            let file = source.join(root);
            if workspace.join(&file).exists() {
                let contents = read(workspace, &file);
                let place = Place {
                    names: Vec::new(),
                    root: tree.modules.len(),
                    parent: None,
                    folder: source.to_owned(),
                    file,
                };
                tree.add(workspace, &place, contents, &mut faults);
            }
        }
        (tree, faults)
    }

    fn add(
        &mut self,
        workspace: &Path,
        place: &Place,
        contents: Contents,
        faults: &mut Vec<String>,
    ) -> usize {
        let index = self.modules.len();
        let mut children = BTreeMap::new();
        let imports = contents.imports.into_iter();
        self.modules.push(Module {
            place: place.names.clone(),
            file: place.file.clone(),
            references: contents.references,
            imports: imports.map(|import| (import.name, import.path)).collect(),
            children: BTreeMap::new(),
            root: place.root,
            parent: place.parent,
        });
        for Child { name, line, inline } in contents.children {
            let below = place.child(&name, index, inline.is_some());
            if workspace.join(&below.file).exists() {
                let contents = inline.unwrap_or_else(|| read(workspace, &below.file));
                let child = self.add(workspace, &below, contents, faults);
                children.insert(name, child);
            } else {
                let (file, own) = (place.file.display(), below.file.display());
                faults.push(format!("{file}:{line}: `{name}` has no file {own}"));
            }
        }
        self.modules[index].children = children;
        index
    }

    /// The modules that a path leads through from module `from` on, the one that holds what it means last. A name that
    /// a module on the way has imported leads on to where that comes from. Nothing for paths into other crates.
    pub(crate) fn walk(&self, from: usize, path: &[String]) -> Vec<usize> {
        let mut way = Vec::new();
        if self.starts(from, path) {
            self.follow(from, path, HOPS, &mut way);
        }
        way
    }

    /// Whether a path is this crate's by its first name; what begins with an import is accounted for there.
    fn starts(&self, from: usize, path: &[String]) -> bool {
        let first = path[0].as_str();
        matches!(first, "crate" | "self" | "super")
            || first == self.name
            || self.modules[from].children.contains_key(first)
    }

    fn follow(&self, from: usize, path: &[String], hops: usize, way: &mut Vec<usize>) {
        let Some(((first, rest), hops)) = path.split_first().zip(hops.checked_sub(1)) else {
            return;
        };
        let module = &self.modules[from];
        match first.as_str() {
            "crate" => self.descend(module.root, rest, hops, way),
            "self" => self.descend(from, rest, hops, way),
            "super" => self.descend(module.parent.unwrap_or(from), rest, hops, way),
            name if name == self.name => self.descend(0, rest, hops, way),
            name if module.children.contains_key(name) || module.import(name).is_some() => {
                self.descend(from, path, hops, way);
            }
            _ => {}
        }
    }

    fn descend(&self, at: usize, path: &[String], hops: usize, way: &mut Vec<usize>) {
        way.push(at);
        let module = &self.modules[at];
        let Some((first, rest)) = path.split_first() else {
            return;
        };
        if first == "super" {
            self.descend(module.parent.unwrap_or(at), rest, hops, way);
        } else if let Some(&child) = module.children.get(first) {
            self.descend(child, rest, hops, way);
        } else if let Some(import) = module.import(first) {
            let path: Vec<String> = import.iter().chain(rest).cloned().collect();
            self.follow(at, &path, hops, way);
        }
    }
}

impl Module {
    fn import(&self, name: &str) -> Option<&[String]> {
        let mut imports = self.imports.iter();
        imports
            .find(|(known, _)| known == name)
            .map(|(_, path)| path.as_slice())
    }
}

/// Where a module stands.
struct Place {
    names: Vec<String>,
    root: usize,
    parent: Option<usize>,
    /// Where its children's files lie.
    folder: PathBuf,
    /// The file that holds it.
    file: PathBuf,
}

impl Place {
    fn child(&self, name: &str, parent: usize, inline: bool) -> Self {
        let folder = self.folder.join(name);
        let file = if inline {
            self.file.clone()
        } else {
            folder.with_extension("rs")
        };
        Self {
            names: self
                .names
                .iter()
                .cloned()
                .chain([name.to_owned()])
                .collect(),
            root: self.root,
            parent: Some(parent),
            folder,
            file,
        }
    }
}

fn read(workspace: &Path, file: &Path) -> Contents {
    let text = fs::read_to_string(workspace.join(file));
    let text = text.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let syntax = syn::parse_file(&text);
    let syntax = syntax.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    Contents::of(&syntax.items)
}
