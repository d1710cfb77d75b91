//! A batch on its way to the device.

use rayon::prelude::*;
use tch::{Device, Kind, Tensor};

use super::{DrawnImage, DrawnView};
use crate::augment::{Augmentation, apply, augment};
use crate::learner::{Batch, NO_LABEL, View};
use crate::objective::Regions;
use crate::tensor::axis;

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
        let side = i64::from(self.side);
        let images = match device {
            Device::Cpu => on_cpu(&views, self.side as usize),
            Device::Cuda(_) | Device::Mps | Device::Vulkan => on_device(&views, side, device),
        };
        View {
            images,
            regions: regions(&views, device),
        }
    }
}

/// The regions that were drawn, with their cells.
fn regions(views: &[&DrawnView], device: Device) -> Regions {
    let images = axis(views.len());
    let ids = views.iter().flat_map(|view| &view.ids);
    let ids: Vec<i64> = ids.map(|&id| i64::from(id)).collect();
    let members = views.iter().flat_map(|view| {
        let cells = move |id| (0..view.cells.count()).map(move |cell| view.cells.holds(id, cell));
        view.ids.iter().copied().flat_map(cells)
    });
    let members: Vec<bool> = members.collect();
    let ids = Tensor::from_slice(&ids).view([images, -1]);
    let members = Tensor::from_slice(&members).view([images, ids.size()[1], -1]);
    Regions::overlapping(members.to_device(device), ids.to_device(device))
}

/// The views with their colours changed, float32 `[N, 3, H, W]`, image by image on all of the caller's threads.
fn on_cpu(views: &[&DrawnView], side: usize) -> Tensor {
    let length = 3 * side * side;
    let mut colored = vec![0.0_f32; views.len() * length];
    let outputs = colored.par_chunks_exact_mut(length);
    outputs.zip(views).for_each(|(output, view)| {
        augment(&view.pixels, side, &view.plan, output);
    });
    let side = axis(side);
    Tensor::from_slice(&colored).view([-1, 3, side, side])
}

/// The same, the whole batch at once where the networks are.
fn on_device(views: &[&DrawnView], side: i64, device: Device) -> Tensor {
    let pixels: Vec<&[u8]> = views.iter().map(|view| view.pixels.as_slice()).collect();
    let pixels = Tensor::from_slice(&pixels.concat()).view([-1, side, side, 3]);
    let plans: Vec<Augmentation> = views.iter().map(|view| view.plan.clone()).collect();
    let channels = sent(&pixels, device).permute([0, 3, 1, 2]).contiguous();
    apply(&(channels.to_kind(Kind::Float) / 255.0), &plans)
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
