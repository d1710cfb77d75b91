use std::num::NonZeroU32;

use detcon_core::segment::SegmentMap;
use detcon_trainer::objective::Regions;
use tch::{Kind, Tensor};

use crate::cases::assert_close;
use crate::golden::{byte, objective};

/// Pooling by grids of the commonest id gives what pooling by upstream's one-hot masks gives.
#[test]
fn regions_pool_as_upstreams_downsampled_masks() {
    let file = objective("masks.safetensors");
    let cases = file
        .names()
        .into_iter()
        .filter_map(|name| Some(name.strip_suffix(".mask")?.to_owned()));
    for case in cases {
        let mask = file.u8(&format!("{case}.mask")).unwrap();
        let one_hot = byte(&file, &format!("{case}.binary")).to_kind(Kind::Float);
        let (images, all, cells) = one_hot.size3().unwrap();
        let [height, width] = [mask.shape[1], mask.shape[2]];
        let grids: Vec<i64> = (mask.values.chunks_exact(height * width))
            .flat_map(|mask| grid(mask, height, width))
            .collect();
        let grids = Tensor::from_slice(&grids).view([images, cells]);
        let ids = Tensor::arange(all, (Kind::Int64, tch::Device::Cpu)).repeat([images, 1]);
        let rows = i64::try_from(height.div_ceil(32)).unwrap();
        let features = Tensor::randn(
            [images, 4, rows, cells / rows],
            (Kind::Float, tch::Device::Cpu),
        );
        let areas = one_hot
            .sum_dim_intlist([2].as_slice(), true, Kind::Float)
            .clamp_min(1.0);
        let expected = (&one_hot / areas).matmul(&features.flatten(2, 3).transpose(1, 2));
        assert_close(
            &format!("masks {case}"),
            &Regions::new(&grids, ids).pool(&features),
            &expected,
            1e-6,
        );
    }
}

/// The commonest id of each 32×32 cell.
fn grid(mask: &[u8], height: usize, width: usize) -> Vec<i64> {
    let side = |length| u32::try_from(length).unwrap();
    let ids = mask.iter().map(|&id| u16::from(id)).collect();
    let map = SegmentMap::new(side(height), side(width), ids).unwrap();
    let cells = map.majority(NonZeroU32::new(32).unwrap());
    cells.ids().iter().map(|&id| i64::from(id)).collect()
}
