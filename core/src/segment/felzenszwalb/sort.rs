//! A stable sort of records by the 33 high bits of a cost: three counting passes of 11 bits. What agrees in those bits
//! is then put in order by the whole cost.

/// Bits of one pass: its counters stay in the innermost cache.
const DIGIT_BITS: u32 = 11;
const DIGITS: usize = 1 << DIGIT_BITS;
/// An odd number, so that the result lies in the second buffer.
const PASSES: usize = 3;

/// Bits of a cost's mantissa in its key. Five bits of exponent are left: costs from 2^-31 up to 2.
const MANTISSA_BITS: u32 = 28;
const EXPONENT_BASE: u64 = (1023 - 31) << MANTISSA_BITS;

/// How often each digit of each pass occurs.
#[derive(Debug, Default)]
pub(super) struct Histograms([Vec<u32>; PASSES]);

impl Histograms {
    /// Counts the digits of records, whose key begins at bit `shift`.
    pub(super) fn count(&mut self, records: &[u64], shift: u32) {
        for histogram in &mut self.0 {
            histogram.clear();
            histogram.resize(DIGITS, 0);
        }
        let [low, middle, high] = &mut self.0;
        let (low, middle, high) = (
            &mut low[..DIGITS],
            &mut middle[..DIGITS],
            &mut high[..DIGITS],
        );
        for record in records {
            low[digit(*record, shift)] += 1;
            middle[digit(*record, shift + DIGIT_BITS)] += 1;
            high[digit(*record, shift + 2 * DIGIT_BITS)] += 1;
        }
    }
}

/// How often each leading digit occurs.
#[derive(Debug, Default)]
pub(super) struct LeadingDigits {
    counts: Vec<u32>,
    records: usize,
}

impl LeadingDigits {
    /// Bits of a key below its leading digit: those of the two earlier passes.
    const SHIFT: u32 = DIGIT_BITS * 2;

    /// Forgets all records.
    pub(super) fn clear(&mut self) {
        self.counts.clear();
        self.counts.resize(DIGITS, 0);
        self.records = 0;
    }

    /// Counts the leading digits of more records, whose key begins at bit `shift`.
    pub(super) fn count(&mut self, records: &[u64], shift: u32) {
        let counts = &mut self.counts[..DIGITS];
        for record in records {
            counts[digit(*record, shift + Self::SHIFT)] += 1;
        }
        self.records += records.len();
    }

    /// What records of at least a `share` of all, those with the smallest digits, are below: a record without its low
    /// bits.
    pub(super) fn bound(&self, share: f64, shift: u32) -> u64 {
        let mut below = 0;
        #[expect(
            clippy::cast_precision_loss,
            reason = "an image has far fewer than 2^53 edges"
        )]
        let reached = |&count: &u32| {
            below += u64::from(count);
            below as f64 >= share * self.records as f64
        };
        let last = self.counts.iter().position(reached);
        (last.unwrap_or(DIGITS) as u64 + 1) << (shift + Self::SHIFT)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "only the low bits are kept"
)]
const fn digit(record: u64, shift: u32) -> usize {
    (record >> shift) as usize & (DIGITS - 1)
}

/// The leading bits of a cost from 0 to below 2, in the order of costs. All costs up to 2^-31 share one key.
pub(super) const fn key(cost: f64) -> u64 {
    // Floats that are not negative are ordered as their bits are.
    (cost.to_bits() >> (f64::MANTISSA_DIGITS - 1 - MANTISSA_BITS)).saturating_sub(EXPONENT_BASE)
}

/// Sorts records by their key, which begins at bit `shift`, into `sorted`. Equal keys keep their order.
pub(super) fn by_key<'a>(
    mut records: &'a mut [u64],
    mut sorted: &'a mut [u64],
    histograms: &mut Histograms,
    shift: u32,
) {
    for (shift, histogram) in (shift..)
        .step_by(DIGIT_BITS as usize)
        .zip(&mut histograms.0)
    {
        let mut place = 0;
        for count in histogram.iter_mut() {
            place += std::mem::replace(count, place);
        }
        let places = &mut histogram[..DIGITS];
        for &record in &*records {
            let place = &mut places[digit(record, shift)];
            sorted[*place as usize] = record;
            *place += 1;
        }
        std::mem::swap(&mut records, &mut sorted);
    }
}

/// Orders records that share a key by their cost, then by their place, which is how they were listed.
pub(super) fn settle_ties(records: &mut [u64], shift: u32, cost: impl Fn(u64) -> f64) {
    for run in records.chunk_by_mut(|one, other| one >> shift == other >> shift) {
        if run.len() > 1 && !run.is_sorted_by_key(|&record| cost(record)) {
            run.sort_unstable_by(|&one, &other| {
                let order = cost(one).total_cmp(&cost(other));
                order.then(one.cmp(&other))
            });
        }
    }
}
