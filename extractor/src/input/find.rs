//! From a path, an address or a pattern to the files of an input.

use std::sync::Arc;

use detcon_core::digest::Hasher;
use globset::GlobBuilder;

use super::{Columns, Input, InputError, Kind, Units, list, parquet, records, tar};
use crate::place::{Address, Entry, Place, Places};

/// What makes a path a pattern.
const WILD: [char; 4] = ['*', '?', '[', '{'];

/// Files of one kind, below a folder.
struct Listing {
    kind: Kind,
    place: Place,
    folder: String,
    files: Vec<Entry>,
}

pub(super) fn find(
    text: &str,
    columns: &Columns,
    places: &Arc<Places>,
) -> Result<Input, InputError> {
    let found = if text.contains(WILD) {
        matching(text, places)?
    } else {
        let address = Address::parse(text)?;
        let place = places.root(&address)?;
        // An object that is nothing that is read is not asked for: of a folder's name, not every store says that it is none.
        let may_be_file = Kind::of(address.name()).is_some() || !text.contains("://");
        let length = may_be_file.then(|| place.length(address.name()));
        match length.transpose()?.flatten() {
            Some(bytes) => return of_file(&address, bytes, columns, places),
            None => below(text, &address, place)?,
        }
    };
    of_files(found, columns)
}

/// The input that a file is: one archive, one image, or a list of others.
fn of_file(
    address: &Address,
    bytes: u64,
    columns: &Columns,
    places: &Arc<Places>,
) -> Result<Input, InputError> {
    let place = places.root(address)?;
    let (folder, _) = address.split();
    let name = address.name().to_owned();
    let shown = place.address(&name);
    let kind = Kind::of(&name).ok_or_else(|| nothing(&shown, &name))?;
    let lines = match kind {
        Kind::List => list::text(&place, &name, columns)?,
        Kind::Csv => list::table(&place, &name, columns)?,
        Kind::Images | Kind::Tar | Kind::Parquet | Kind::Records => {
            let files = vec![Entry { name, bytes }];
            let folder = folder.name().to_owned();
            let files = Listing {
                kind,
                place,
                folder,
                files,
            };
            return of_files(files, columns);
        }
    };
    if lines.is_empty() {
        return Err(InputError::Empty { address: shown });
    }
    let mut hasher = Hasher::default();
    hasher.update(kind.name().as_bytes());
    for line in &lines {
        line.hash(&mut hasher);
    }
    let places = Arc::clone(places);
    Ok(Input {
        kind,
        digest: hasher.finish(),
        units: Units::Lines {
            places,
            folder,
            lines,
        },
    })
}

/// What is found below a folder.
fn below(text: &str, address: &Address, place: Place) -> Result<Listing, InputError> {
    let folder = address.name().to_owned();
    let files = place.list(&folder)?;
    of_one_kind(text, place, folder, files)
}

/// What a pattern matches: `*` and `?` within a name, `**` across folders, `{a,b}` and `[ab]`.
fn matching(text: &str, places: &Places) -> Result<Listing, InputError> {
    let wild = text.find(WILD).unwrap_or(text.len());
    let fixed = text[..wild].rfind('/').map_or("", |end| &text[..=end]);
    let fixed = if fixed.is_empty() { "." } else { fixed };
    let address = Address::parse(fixed)?;
    let place = places.root(&address)?;
    let folder = address.name().to_owned();
    let rest = &text[text[..wild].rfind('/').map_or(0, |end| end + 1)..];
    let glob = GlobBuilder::new(rest).literal_separator(true).build();
    let glob = glob.map_err(|source| InputError::Pattern {
        pattern: text.to_owned(),
        source,
    })?;
    let matcher = glob.compile_matcher();
    let mut files = place.list(&folder)?;
    files.retain(|file| matcher.is_match(super::sample::below(&folder, &file.name)));
    of_one_kind(text, place, folder, files)
}

/// Those that are read, which have to be of one kind.
fn of_one_kind(
    text: &str,
    place: Place,
    folder: String,
    mut files: Vec<Entry>,
) -> Result<Listing, InputError> {
    let known = |file: &Entry| Kind::of(&file.name).filter(|kind| kind.is_found_in_folders());
    let mut kinds: Vec<Kind> = files.iter().filter_map(known).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let address = text.trim_end_matches('/').to_owned();
    match kinds[..] {
        [] => {
            let packed = files.iter().find(|file| is_packed(&file.name));
            let packed = packed.map(|file| place.address(&file.name));
            Err(match packed {
                Some(address) => InputError::Compressed { address },
                None => InputError::Empty { address },
            })
        }
        [kind] => {
            files.retain(|file| known(file).is_some());
            Ok(Listing {
                kind,
                place,
                folder,
                files,
            })
        }
        [one, other, ..] => Err(InputError::Mixed {
            address,
            one,
            other,
        }),
    }
}

/// The input that files of one kind are.
fn of_files(found: Listing, columns: &Columns) -> Result<Input, InputError> {
    let Listing {
        kind,
        place,
        folder,
        files,
    } = found;
    let mut hasher = Hasher::default();
    hasher.update(kind.name().as_bytes());
    for file in &files {
        hasher.update(super::sample::below(&folder, &file.name).as_bytes());
        hasher.update(&[0]);
        hasher.update(&file.bytes.to_le_bytes());
    }
    if kind != Kind::Parquet {
        list::no_columns(kind, columns)?;
    }
    let units = match kind {
        Kind::Tar => Units::Archives {
            place,
            folder,
            files,
            open: tar::items,
        },
        Kind::Records => Units::Archives {
            place,
            folder,
            files,
            open: records::items,
        },
        Kind::Parquet => {
            let table = parquet::Table::open(&place, &folder, files, columns)?;
            if table.rows() == 0 {
                let address = place.address(&folder);
                return Err(InputError::Empty { address });
            }
            Units::Rows(table)
        }
        Kind::Images | Kind::List | Kind::Csv => Units::Files {
            place,
            folder,
            files,
        },
    };
    Ok(Input {
        kind,
        digest: hasher.finish(),
        units,
    })
}

/// A file that is nothing that is read.
fn nothing(address: &str, name: &str) -> InputError {
    let address = address.to_owned();
    if is_packed(name) {
        InputError::Compressed { address }
    } else {
        InputError::Empty { address }
    }
}

fn is_packed(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    [
        ".tar.gz",
        ".tgz",
        ".tar.zst",
        ".tar.bz2",
        ".tar.xz",
        ".parquet.gz",
    ]
    .iter()
    .any(|ending| name.ends_with(ending))
}
