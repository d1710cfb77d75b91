//! Which of two networks the field takes where a file holds both: one table, each row with where it was read.

/// A part of the place of the network that is taken, of the one that is left, and who takes it so.
pub(super) struct Usual {
    pub(super) taken: &'static str,
    pub(super) left: &'static str,
    pub(super) who: &'static str,
}

const fn usual(taken: &'static str, left: &'static str, who: &'static str) -> Usual {
    Usual { taken, left, who }
}

/// Source, row by row: DINO's `eval_knn.py` (`--checkpoint_key`); lightly's `examples/pytorch_lightning/dino.py`, whose
/// networks are DINO's; `MoCo`'s and `MoCo` v3's `main_lincls.py`; KKallidromitis/detcon-pytorch's `utils/convert_fcn.py`; byol-pytorch's
/// `README.md`, where the network that learns is what is saved; `PixPro`'s `main_linear.py`; solo-learn's `main_linear.py`;
/// lightly's `examples/pytorch/byol.py`; mmselfsup's `tools/model_converters/extract_backbone_weights.py`, twice; VISSL's
/// `extra_scripts/convert_vissl_to_torchvision.py`; timm's `models/_helpers.py` (`load_state_dict`), twice.
pub(super) const USUAL: [Usual; 14] = [
    usual("teacher", "student", "DINO"),
    usual("teacher_backbone", "student_backbone", "DINO"),
    usual("encoder_q", "encoder_k", "MoCo"),
    usual("base_encoder", "momentum_encoder", "MoCo v3"),
    usual("online_network", "target_network", "DetCon in PyTorch"),
    usual("online_encoder", "target_encoder", "BYOL in PyTorch"),
    usual("encoder", "encoder_k", "PixPro"),
    usual("backbone", "momentum_backbone", "solo-learn"),
    usual("backbone", "backbone_momentum", "lightly"),
    usual("backbone", "encoder_k", "mmselfsup"),
    usual("backbone", "target_net", "mmselfsup"),
    usual("base_model", "ema_model", "VISSL"),
    usual("state_dict_ema", "state_dict", "timm"),
    usual("model_ema", "model", "timm"),
];

impl Usual {
    /// Whether the network at `place` is one that is left where the other is there.
    pub(super) fn leaves(&self, place: &str) -> bool {
        has(place, self.left)
    }

    /// Whether the network at `place` is one that is taken.
    pub(super) fn takes(&self, place: &str) -> bool {
        has(place, self.taken) && !has(place, self.left)
    }
}

fn has(place: &str, part: &str) -> bool {
    place.split('.').any(|it| it == part)
}
