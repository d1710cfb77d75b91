//! What the text of a module names: its children, its imports, and the paths it is written with. Paths are found in
//! `use` trees, in code and types, in the arguments of macros and in attributes. What is compiled for tests alone is
//! passed over, and so are comments and the paths of `pub(in …)`.

use proc_macro2::{Group, TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Ident, ImplItemFn, Item, ItemMod, Meta, Token, UseTree, VisRestricted};

/// A path, and the line that it is on.
#[derive(Clone, Debug)]
pub(crate) struct Reference {
    pub(crate) path: Vec<String>,
    pub(crate) line: usize,
}

/// A name that a `use` brings into the module.
#[derive(Debug)]
pub(crate) struct Import {
    pub(crate) name: String,
    pub(crate) path: Vec<String>,
}

/// A module that is declared in another.
#[derive(Debug)]
pub(crate) struct Child {
    pub(crate) name: String,
    pub(crate) line: usize,
    /// What is between its braces, if it has no file of its own.
    pub(crate) inline: Option<Contents>,
}

/// What a module names.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    pub(crate) children: Vec<Child>,
    pub(crate) imports: Vec<Import>,
    pub(crate) references: Vec<Reference>,
}

impl Contents {
    /// Reads a module's items.
    pub(crate) fn of(items: &[Item]) -> Self {
        let mut contents = Self::default();
        for item in items.iter().filter(|item| !for_tests(attributes(item))) {
            match item {
                Item::Mod(module) => contents.children.push(Child {
                    name: plain(&module.ident),
                    line: module.ident.span().start().line,
                    inline: (module.content.as_ref()).map(|(_, items)| Self::of(items)),
                }),
                Item::Use(item) => {
                    for Leaf { of, name } in leaves(&item.tree, &[]) {
                        let path = of.path.clone();
                        contents
                            .imports
                            .extend(name.map(|name| Import { name, path }));
                        contents.references.push(of);
                    }
                }
                other => contents.visit_item(other),
            }
        }
        contents
    }

    fn push(&mut self, path: Vec<String>, line: usize) {
        if path.len() > 1 {
            self.references.push(Reference { path, line });
        }
    }

    /// Paths among tokens that are not yet code: idents with `::` between them, strings that are paths of this crate.
    fn scan(&mut self, tokens: TokenStream) {
        let (mut path, mut line, mut colons) = (Vec::new(), 0, 0);
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.push(std::mem::take(&mut path), line);
                        line = ident.span().start().line;
                    }
                    path.push(plain(&ident));
                    colons = 0;
                    continue;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' && !path.is_empty() => {
                    colons += 1;
                    continue;
                }
                TokenTree::Group(group) => {
                    self.scan_group(&group, (colons == 2).then(|| path.clone()));
                }
                TokenTree::Literal(literal) => self.scan_text(&literal.to_string(), line),
                TokenTree::Punct(_) => {}
            }
            self.push(std::mem::take(&mut path), line);
            colons = 0;
        }
        self.push(path, line);
    }

    /// A group after a prefix and `::` is a list of imports.
    fn scan_group(&mut self, group: &Group, prefix: Option<Vec<String>>) {
        let whole = TokenStream::from(TokenTree::from(group.clone()));
        match (prefix, syn::parse2::<UseTree>(whole)) {
            (Some(prefix), Ok(tree)) => self.import(&tree, &prefix),
            _ => self.scan(group.stream()),
        }
    }

    fn import(&mut self, tree: &UseTree, prefix: &[String]) {
        let leaves = leaves(tree, prefix).into_iter();
        self.references.extend(leaves.map(|leaf| leaf.of));
    }

    /// A string that is a path: attributes name functions so.
    fn scan_text(&mut self, literal: &str, line: usize) {
        let text = syn::parse_str::<syn::LitStr>(literal).map(|literal| literal.value());
        if let Ok(path) = text.and_then(|text| syn::parse_str::<syn::Path>(&text)) {
            self.push(names(&path).into_iter().map(plain).collect(), line);
        }
    }
}

impl<'ast> Visit<'ast> for Contents {
    fn visit_item(&mut self, item: &'ast Item) {
        if !for_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, method: &'ast ImplItemFn) {
        if !for_tests(&method.attrs) {
            visit::visit_impl_item_fn(self, method);
        }
    }

    fn visit_use_tree(&mut self, tree: &'ast UseTree) {
        self.import(tree, &[]);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names = names(path);
        let line = names.first().map_or(0, |name| name.span().start().line);
        self.push(names.into_iter().map(plain).collect(), line);
        visit::visit_path(self, path);
    }

    fn visit_vis_restricted(&mut self, _: &'ast VisRestricted) {}

    fn visit_token_stream(&mut self, tokens: &'ast TokenStream) {
        self.scan(tokens.clone());
    }

    /// A module within a function: its `super` is the module that holds the function.
    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        let line = module.ident.span().start().line;
        let name = plain(&module.ident);
        let inline = (module.content.as_ref()).map(|(_, items)| Self::of(items));
        self.children.push(Child { name, line, inline });
    }
}

/// What a `use` tree imports, and the name that it has then; `*` stands for all names and has none.
struct Leaf {
    of: Reference,
    name: Option<String>,
}

fn leaves(tree: &UseTree, prefix: &[String]) -> Vec<Leaf> {
    let longer = |name: String| prefix.iter().cloned().chain([name]).collect();
    let one = |ident: &Ident, name: Option<&Ident>| {
        let mut path: Vec<String> = longer(plain(ident));
        path.pop_if(|last| last == "self" && !prefix.is_empty());
        let name = name.map_or_else(|| path.last().cloned(), |name| Some(plain(name)));
        let line = ident.span().start().line;
        let of = Reference { path, line };
        vec![Leaf { of, name }]
    };
    match tree {
        UseTree::Name(name) => one(&name.ident, None),
        UseTree::Rename(name) => one(&name.ident, Some(&name.rename)),
        UseTree::Glob(glob) => {
            let line = glob.star_token.span.start().line;
            let path = longer("*".to_owned());
            let (of, name) = (Reference { path, line }, None);
            vec![Leaf { of, name }]
        }
        UseTree::Path(path) => leaves(&path.tree, &longer(plain(&path.ident))),
        UseTree::Group(group) => {
            let trees = group.items.iter();
            trees.flat_map(|tree| leaves(tree, prefix)).collect()
        }
    }
}

fn names(path: &syn::Path) -> Vec<&Ident> {
    path.segments.iter().map(|part| &part.ident).collect()
}

/// A name without `r#`.
fn plain(ident: &Ident) -> String {
    let name = ident.to_string();
    name.strip_prefix("r#").map_or(name.clone(), str::to_owned)
}

/// Whether an item is compiled for tests alone: `cfg(test)`, or `cfg(all(…))` with `test` among the conditions.
fn for_tests(attributes: &[Attribute]) -> bool {
    let conditions = attributes.iter().filter(|it| it.path().is_ident("cfg"));
    let mut conditions = conditions.filter_map(|it| it.parse_args::<Meta>().ok());
    conditions.any(|condition| needs_test(&condition))
}

fn needs_test(condition: &Meta) -> bool {
    let Meta::List(list) = condition else {
        return condition.path().is_ident("test");
    };
    let all = syn::punctuated::Punctuated::<Meta, Token![,]>::parse_terminated;
    list.path.is_ident("all")
        && (list.parse_args_with(all)).is_ok_and(|parts| parts.iter().any(needs_test))
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::ForeignMod(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::TraitAlias(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}
