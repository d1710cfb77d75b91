//! A batch on its way to the device.

use tch::{Device, Kind, Tensor};

use super::{DrawnImage, DrawnView};
use crate::augment::{Augmentation, apply};
use crate::learner::{Batch, NO_LABEL, View};
use crate::objective::Regions;
use crate::tensor::axis;

/// Images whose colours a CPU changes at once: with the copies on the way they stay in its cache.
const IN_CACHE: usize = 4;

/// The images of a step, in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct HostBatch {
    images: Vec<DrawnImage>,
    side: u32,
}

impl HostBatch {
    pub(super) const fn new(images: Vec<DrawnImage>, side: u32) -> Self {
        Self { images, side }
    }

    /// The images.
    #[must_use]
    pub fn images(&self) -> &[DrawnImage] {
        &self.images
    }

    /// Moves it to the device and augments its colours there.
    #[must_use]
    pub fn to_device(&self, device: Device) -> Batch {
        let labels = self
            .images
            .iter()
            .map(|image| image.label.map_or(NO_LABEL, i64::from));
        let labels: Vec<i64> = labels.collect();
        Batch {
            views: [0, 1].map(|view| self.view(view, device)),
            labels: Tensor::from_slice(&labels).to_device(device),
        }
    }

    fn view(&self, number: usize, device: Device) -> View {
        let views: Vec<&DrawnView> = self
            .images
            .iter()
            .map(|image| &image.views[number])
            .collect();
        let (images, side) = (axis(views.len()), i64::from(self.side));
        let pixels: Vec<&[u8]> = views.iter().map(|view| view.pixels.as_slice()).collect();
        let pixels = Tensor::from_slice(&pixels.concat()).view([images, side, side, 3]);
        let plans: Vec<Augmentation> = views.iter().map(|view| view.plan.clone()).collect();
        let ids = |of: fn(&DrawnView) -> &[u16]| {
            let ids = views
                .iter()
                .flat_map(|view| of(view))
                .map(|&id| i64::from(id));
            let ids: Vec<i64> = ids.collect();
            Tensor::from_slice(&ids)
                .view([images, -1])
                .to_device(device)
        };
        View {
            images: augmented(&sent(&pixels, device), &plans),
            regions: Regions::new(&ids(|view| &view.grid), ids(|view| &view.ids)),
        }
    }
}

/// The tensor on the device. A GPU takes it out of pinned memory while the CPU goes on.
fn sent(tensor: &Tensor, device: Device) -> Tensor {
    if device.is_cuda() {
        let pinned = tensor.pin_memory(device);
        pinned.to_device_(device, tensor.kind(), true, false)
    } else {
        tensor.to_device(device)
    }
}

/// Images of bytes, `[N, H, W, 3]`, as floats with their colours changed, `[N, 3, H, W]`.
fn augmented(pixels: &Tensor, plans: &[Augmentation]) -> Tensor {
    let at_once = match pixels.device() {
        Device::Cpu => IN_CACHE,
        Device::Cuda(_) | Device::Mps | Device::Vulkan => plans.len(),
    };
    let parts = pixels.split(axis(at_once), 0);
    let parts = parts
        .iter()
        .zip(plans.chunks(at_once))
        .map(|(part, plans)| {
            let channels = part.permute([0, 3, 1, 2]).contiguous();
            apply(&(channels.to_kind(Kind::Float) / 255.0), plans)
        });
    Tensor::cat(&parts.collect::<Vec<_>>(), 0)
}
