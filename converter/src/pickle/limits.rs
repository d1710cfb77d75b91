//! Caps that a pickle meets before anything is allocated for it.

/// What a pickle may ask for. The defaults hold the experiment state of a ResNet-200 with its optimizer on
/// eight devices (about 200 000 opcodes, 10 GiB of arrays) with room to spare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most opcodes. Each makes at most one value of some 50 bytes, so this also bounds memory.
    pub opcodes: usize,
    /// Most entries of the memo.
    pub memo_entries: usize,
    /// Deepest nesting of the result. Checkpoints nest six deep; code that walks the result may recurse.
    pub depth: usize,
    /// Most values of the result after shared values are written out: what stops a file of a kilobyte from
    /// standing for a billion values. Also the most that calls may copy out of their arguments.
    pub values: u64,
    /// Longest string, in bytes as stored. Protocols 0 to 2 store arrays as strings.
    pub string_bytes: usize,
    /// Longest module or class name.
    pub name_bytes: usize,
    /// Most axes of an array. A convolution's weights have four, and a device axis makes five.
    pub array_rank: usize,
    /// Most bytes of one array.
    pub array_bytes: usize,
    /// Most bytes of all arrays of the result, counted as often as they are used.
    pub total_array_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            opcodes: 2_000_000,
            memo_entries: 1_000_000,
            depth: 64,
            values: 1_000_000,
            string_bytes: 4 << 30,
            name_bytes: 512,
            array_rank: 8,
            array_bytes: 4 << 30,
            total_array_bytes: 32 << 30,
        }
    }
}
