//! The order of the workspace's crates, by the dependencies that their `Cargo.toml` names.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use toml::{Table, Value};

use crate::order::{Layers, Order};

/// Tables of dependencies, at the top and under `target.…`.
const KINDS: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];

/// What is wrong with the order of the workspace's crates, which are named by their folders: one line each.
pub(crate) fn faults(workspace: &Path, layers: &Layers<'_>) -> Vec<String> {
    let members = members(workspace);
    let packages: BTreeMap<String, &str> = members
        .iter()
        .map(|folder| (name(workspace, Path::new(folder)), folder.as_str()))
        .collect();
    let mut order = Order::new(layers);
    let mut faults = order.strangers(&packages.values().copied().collect());
    for folder in &members {
        let (text, manifest) = manifest(workspace, Path::new(folder));
        for (key, package) in dependencies(&manifest) {
            let mut lines = text.lines();
            let line = lines.position(|line| line.trim_start().starts_with(&key));
            let place = format!("{folder}/Cargo.toml:{}", line.unwrap_or(0) + 1);
            let used = packages.get(&package);
            faults.extend(used.and_then(|used| order.fault(&place, folder, used)));
        }
    }
    faults.extend(order.idle());
    faults
}

/// The name of the package in a folder.
pub(crate) fn name(workspace: &Path, folder: &Path) -> String {
    let (_, manifest) = manifest(workspace, folder);
    let name = manifest
        .get("package")
        .and_then(|package| package.get("name"));
    let name = name.and_then(Value::as_str);
    name.unwrap_or_else(|| panic!("{}: no package", folder.display()))
        .to_owned()
}

fn members(workspace: &Path) -> Vec<String> {
    let (_, manifest) = manifest(workspace, Path::new(""));
    let members = manifest.get("workspace").and_then(|it| it.get("members"));
    let members = members.and_then(Value::as_array).into_iter().flatten();
    members
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

fn manifest(workspace: &Path, folder: &Path) -> (String, Table) {
    let path = workspace.join(folder).join("Cargo.toml");
    let text =
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let table = text
        .parse()
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    (text, table)
}

/// Keys and packages of all dependencies.
fn dependencies(manifest: &Table) -> Vec<(String, String)> {
    let targets = manifest.get("target").and_then(Value::as_table);
    let targets = targets
        .into_iter()
        .flat_map(Table::values)
        .filter_map(Value::as_table);
    let tables = std::iter::once(manifest).chain(targets);
    let kinds = tables.flat_map(|table| {
        KINDS
            .into_iter()
            .filter_map(|kind| table.get(kind)?.as_table())
    });
    kinds
        .flat_map(Table::iter)
        .map(|(key, value)| {
            let package = value.get("package").and_then(Value::as_str);
            (key.clone(), package.unwrap_or(key).to_owned())
        })
        .collect()
}
