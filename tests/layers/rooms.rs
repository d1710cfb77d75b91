//! The order of the modules in a folder.

use std::collections::BTreeSet;
use std::path::Path;

use crate::crates;
use crate::order::{Layers, Order};
use crate::source::Reference;
use crate::tree::{Module, Tree};

/// What is wrong with a folder of the workspace, one line each.
pub(crate) fn faults(workspace: &Path, layers: &Layers<'_>) -> Vec<String> {
    let (source, within) = match layers.of.split_once("/src/") {
        Some((folder, within)) => (format!("{folder}/src"), within.split('/').collect()),
        None => (layers.of.to_owned(), Vec::new()),
    };
    let source = Path::new(&source);
    let name = crates::name(workspace, source.parent().unwrap_or(Path::new("")));
    let (tree, mut faults) = Tree::read(workspace, source, &name);
    let place = within.into_iter().map(str::to_owned).collect();
    let room = Room { tree, place };
    let mut order = Order::new(layers);
    let modules = room.tree.modules.iter();
    let there = modules.filter_map(|module| room.layer(module)).collect();
    faults.extend(order.strangers(&there));
    faults.extend(room.upwards(&mut order));
    faults.extend(order.idle());
    faults
}

struct Room {
    tree: Tree,
    place: Vec<String>,
}

impl Room {
    /// The name of the layer that a module belongs to, if it is in this folder.
    fn layer<'m>(&self, module: &'m Module) -> Option<&'m str> {
        let within = module.place.strip_prefix(self.place.as_slice())?;
        within.first().map(String::as_str)
    }

    /// Paths that lead upwards.
    fn upwards(&self, order: &mut Order<'_>) -> Vec<String> {
        let mut faults = Vec::new();
        for (index, module) in self.tree.modules.iter().enumerate() {
            let Some(layer) = self.layer(module) else {
                continue;
            };
            for reference in &module.references {
                let place = format!("{}:{}", module.file.display(), reference.line);
                let way = self.tree.walk(index, &reference.path);
                let passed = way.iter().map(|&passed| &self.tree.modules[passed]);
                let passed: BTreeSet<_> = passed.filter_map(|module| self.layer(module)).collect();
                let passed = passed.into_iter();
                faults.extend(passed.filter_map(|used| order.fault(&place, layer, used)));
                let beside = self.beside_the_order(reference, &way);
                faults.extend(beside.map(|fault| format!("{place}: `{layer}` {fault}")));
            }
        }
        faults
    }

    /// A path that no order covers: to all names of a module, or to what the folder's own file holds.
    fn beside_the_order(&self, reference: &Reference, way: &[usize]) -> Option<String> {
        let holder = &self.tree.modules[*way.last()?];
        if reference.path.last().is_some_and(|last| last == "*") {
            Some("imports `*`: name what it uses".to_owned())
        } else if holder.place == self.place {
            Some(format!("uses what {} itself holds", holder.file.display()))
        } else {
            None
        }
    }
}
