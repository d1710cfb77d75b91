//! Writes what `torch.save` writes: a pickle of nested mappings, and storages beside it in a zip archive.

use super::network::Tensor;

/// A value of a checkpoint.
#[derive(Clone)]
pub(crate) enum Item {
    Tensor(Tensor),
    /// A tensor whose strides are those of channels last.
    ChannelsLast(Tensor),
    /// The tensor that another one is, by its number in the file.
    Tied(usize),
    Int(u8),
    Text(&'static str),
    List(Vec<Item>),
    Dict(Vec<(String, Item)>),
    /// Opcodes that leave one value.
    Raw(Vec<u8>),
}

/// A mapping.
pub(crate) fn dict<const N: usize>(pairs: [(&str, Item); N]) -> Item {
    Item::Dict(pairs.map(|(key, value)| (key.to_owned(), value)).into())
}

/// `argparse.Namespace`, as Python writes it.
pub(crate) fn namespace() -> Item {
    Item::Raw(
        b"cargparse\nNamespace\n)\x81}X\x02\x00\x00\x00lrG?\xb9\x99\x99\x99\x99\x99\x9asb".to_vec(),
    )
}

pub(crate) fn text(text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len()).unwrap().to_le_bytes();
    [b"X", &length[..], text.as_bytes()].concat()
}

fn int(value: usize) -> Vec<u8> {
    [&b"J"[..], &i32::try_from(value).unwrap().to_le_bytes()].concat()
}

fn tuple(values: &[usize]) -> Vec<u8> {
    let items: Vec<u8> = values.iter().flat_map(|&value| int(value)).collect();
    [b"(", &items[..], b"t"].concat()
}

fn strides(shape: &[usize]) -> Vec<usize> {
    (0..shape.len())
        .map(|axis| shape[axis + 1..].iter().product())
        .collect()
}

/// A pickle and the storages that it names.
#[derive(Default)]
struct Writer {
    pickle: Vec<u8>,
    storages: Vec<Vec<u8>>,
    /// How each tensor was written.
    tensors: Vec<Vec<u8>>,
}

impl Writer {
    fn item(&mut self, item: &Item) {
        match item {
            Item::Tensor(tensor) => self.tensor(tensor, &strides(&tensor.shape), tensor.bytes()),
            Item::ChannelsLast(tensor) => self.channels_last(tensor),
            Item::Tied(number) => {
                let written = self.tensors[*number].clone();
                self.pickle.extend(written);
            }
            Item::Int(value) => self.pickle.extend([b'K', *value]),
            Item::Text(value) => self.pickle.extend(text(value)),
            Item::Raw(opcodes) => self.pickle.extend(opcodes),
            Item::List(items) => {
                self.pickle.extend(b"](");
                for item in items {
                    self.item(item);
                }
                self.pickle.push(b'e');
            }
            Item::Dict(pairs) => {
                self.pickle.extend(b"}(");
                for (key, value) in pairs {
                    self.pickle.extend(text(key));
                    self.item(value);
                }
                self.pickle.push(b'u');
            }
        }
    }

    fn channels_last(&mut self, tensor: &Tensor) {
        let &[outputs, inputs, height, width] = tensor.shape.as_slice() else {
            return self.item(&Item::Tensor(tensor.clone()));
        };
        let mut bytes = Vec::new();
        for output in 0..outputs {
            for place in 0..height * width {
                for input in 0..inputs {
                    let value = tensor.values[(output * inputs + input) * height * width + place];
                    bytes.extend(value.to_le_bytes());
                }
            }
        }
        let strides = [height * width * inputs, 1, width * inputs, inputs];
        self.tensor(tensor, &strides, bytes);
    }

    /// `_rebuild_tensor_v2(storage, 0, shape, strides, False, OrderedDict())`.
    fn tensor(&mut self, tensor: &Tensor, strides: &[usize], bytes: Vec<u8>) {
        let key = self.storages.len().to_string();
        self.storages.push(bytes);
        let opcodes = [
            &b"ctorch._utils\n_rebuild_tensor_v2\n(("[..],
            &text("storage"),
            b"ctorch\nFloatStorage\n",
            &text(&key),
            &text("cpu"),
            &int(tensor.values.len()),
            b"tQK\x00",
            &tuple(&tensor.shape),
            &tuple(strides),
            b"\x89ccollections\nOrderedDict\n)RtR",
        ]
        .concat();
        self.pickle.extend(&opcodes);
        self.tensors.push(opcodes);
    }
}

/// A file of `torch.save`.
pub(crate) fn archive(item: &Item) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.pickle.extend(b"\x80\x02");
    writer.item(item);
    writer.pickle.push(b'.');
    let mut members = vec![("archive/data.pkl".to_owned(), writer.pickle)];
    for (key, bytes) in writer.storages.into_iter().enumerate() {
        members.push((format!("archive/data/{key}"), bytes));
    }
    zip(&members)
}

/// A zip archive whose members are stored as they are. Its reader looks at no checksums.
pub(crate) fn zip(members: &[(String, Vec<u8>)]) -> Vec<u8> {
    let members = members.iter().map(|(name, bytes)| Member {
        name,
        method: 0,
        length: bytes.len(),
        bytes,
    });
    zip_of(&members.collect::<Vec<_>>())
}

/// A member of a zip archive.
pub(crate) struct Member<'m> {
    pub(crate) name: &'m str,
    pub(crate) method: u16,
    /// Its length when decompressed, as the directory says it.
    pub(crate) length: usize,
    pub(crate) bytes: &'m [u8],
}

pub(crate) fn zip_of(members: &[Member<'_>]) -> Vec<u8> {
    let short = |value: usize| u32::try_from(value).unwrap().to_le_bytes();
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for it in members {
        let start = file.len();
        let name = u16::try_from(it.name.len()).unwrap().to_le_bytes();
        let facts = [
            &[20, 0, 0, 0][..],
            &it.method.to_le_bytes(),
            &[0; 8],
            &short(it.bytes.len()),
            &short(it.length),
            &name,
            &[0, 0],
        ]
        .concat();
        file.extend([b"PK\x03\x04", &facts[..], it.name.as_bytes(), it.bytes].concat());
        directory.extend(
            [
                b"PK\x01\x02\x14\x00",
                &facts[..],
                &[0; 10],
                &short(start),
                it.name.as_bytes(),
            ]
            .concat(),
        );
    }
    let count = u16::try_from(members.len()).unwrap().to_le_bytes();
    let end = [
        &b"PK\x05\x06\0\0\0\0"[..],
        &count,
        &count,
        &short(directory.len()),
        &short(file.len()),
        &[0, 0],
    ]
    .concat();
    [file, directory, end].concat()
}
