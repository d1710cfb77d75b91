//! `detcon-extract regions`.

use std::num::NonZeroU16;
use std::path::PathBuf;
use std::str::FromStr as _;
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use clap::{Args, ValueEnum};
use detcon_core::arch::Stage;
use detcon_core::projector::Projector;
use detcon_core::segment::{Felzenszwalb, Grid, KMeans};
use detcon_data::annotations::{Annotations, WithoutOutline};
use detcon_extractor::output::Vectors;
use detcon_extractor::place::Address;
use detcon_extractor::work::{Float, Pixels, Product, RegionSource, Regions};
use detcon_inference::{Dense, Method, Network, Space};

use super::extract::{Asked, Opened, extract};
use super::flags::Flags;

/// What is usual, as in the server: upstream's `scale`, `sigma` and `min_size`; rows and columns of a grid; clusters.
const UPSTREAM: (f64, f64, u32) = (1000.0, 0.8, 1000);
const GRID: NonZeroU16 = NonZeroU16::new(7).unwrap();
const CLUSTERS: u32 = 8;
/// What `--method` begins with where a head's name follows.
const HEAD: &str = "head:";

#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    flags: Flags,
    #[command(flatten)]
    source: SourceFlags,
    /// Which vectors regions have: backbone, the mean of c5, or projection, the projector's output for it.
    #[arg(long, default_value = "backbone")]
    space: Space,
    /// Write each region's pixels too, as COCO's compressed run lengths (`counts`; the size is the row's height and width).
    #[arg(long)]
    rle: bool,
}

#[derive(Args)]
struct SourceFlags {
    /// How regions are made: felzenszwalb, grid, kmeans, or head:NAME [default: felzenszwalb].
    #[arg(long, value_name = "METHOD")]
    method: Option<String>,
    /// Of felzenszwalb: larger values make larger segments [default: 1000].
    #[arg(long)]
    scale: Option<f64>,
    /// Of felzenszwalb: standard deviation in pixels of the blur before [default: 0.8].
    #[arg(long)]
    sigma: Option<f64>,
    /// Of felzenszwalb: smallest segment in pixels [default: 1000].
    #[arg(long, value_name = "PIXELS")]
    min_size: Option<u32>,
    /// Of grid: from top to bottom [default: 7].
    #[arg(long, value_name = "N")]
    rows: Option<NonZeroU16>,
    /// Of grid: from left to right [default: 7].
    #[arg(long, value_name = "N")]
    columns: Option<NonZeroU16>,
    /// Of kmeans: clusters [default: 8].
    #[arg(long, value_name = "N")]
    k: Option<u32>,
    /// Of kmeans: where clusters begin [default: 0].
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Of kmeans: the features that are clustered [default: c5].
    #[arg(long, value_parser = Stage::from_str)]
    stage: Option<Stage>,
    /// The masks that come with the images: those of TFRecord shards, or members KEY.mask.png or KEY.seg.png of tar shards.
    #[arg(long, conflicts_with = "method")]
    shard_masks: bool,
    /// Label PNGs: a folder, or a prefix in a bucket, that holds a/b.png for the image a/b.jpg.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["method", "shard_masks"])]
    label_maps: Option<String>,
    /// Objects that people outlined: COCO's instances (polygons and run lengths), by the images' file names.
    #[arg(long, value_name = "JSON", conflicts_with_all = ["method", "shard_masks", "label_maps"])]
    annotations: Option<PathBuf>,
    /// What becomes of annotations without a segmentation.
    #[arg(long, value_enum, default_value = "skip", requires = "annotations")]
    without_outline: WithoutOutlineFlag,
}

/// What becomes of an annotation without a segmentation, as the command line spells it.
#[derive(Clone, Copy, ValueEnum)]
enum WithoutOutlineFlag {
    /// It is left out.
    Skip,
    /// Its box is its outline.
    Box,
}

impl From<WithoutOutlineFlag> for WithoutOutline {
    fn from(flag: WithoutOutlineFlag) -> Self {
        match flag {
            WithoutOutlineFlag::Skip => Self::Skip,
            WithoutOutlineFlag::Box => Self::Box,
        }
    }
}

/// Where regions come from, what says so in parts, and which pixels masks are of.
struct Source {
    regions: RegionSource,
    told: String,
    pixels: Pixels,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let Arguments { source, .. } = arguments;
    let method = source.method.as_deref();
    let headed = method.is_some_and(|method| method.starts_with(HEAD));
    let all = headed || source.stage.is_some_and(|stage| stage != Stage::C5);
    let dense = if all { Dense::All } else { Dense::C5 };
    extract(&arguments.flags, dense, |opened| asked(arguments, opened))
}

fn asked(arguments: &Arguments, opened: &Opened) -> anyhow::Result<Asked> {
    let Source {
        regions: source,
        told,
        pixels,
    } = arguments.source.source(opened)?;
    let manifest = opened.network.manifest();
    let (length, space) = match arguments.space {
        Space::Backbone => (manifest.embedding_size, "backbone"),
        Space::Projection => {
            let projector = opened.network.projector();
            (projector.map_or(0, Projector::size), "projection")
        }
    };
    let rle = arguments.rle;
    let with_rle = if rle { "; run lengths" } else { "" };
    Ok(Asked {
        command: "regions",
        product: Product::Regions(Regions {
            source,
            space: arguments.space,
            rle,
        }),
        vectors: Vectors::Regions { length, rle },
        float: Float::Single,
        pixels,
        options: format!("{told}; {space}{with_rle}"),
        usual: 1024,
    })
}

impl SourceFlags {
    fn source(&self, opened: &Opened) -> anyhow::Result<Source> {
        let given = |regions, told| Source {
            regions,
            told,
            pixels: Pixels::Stored,
        };
        if self.shard_masks {
            let kind = opened.input.kind();
            ensure!(
                kind.has_masks(),
                "--shard-masks is for tar and TFRecord shards, and the input is {}",
                kind.name()
            );
            self.only(&[], "--shard-masks")?;
            return Ok(given(
                RegionSource::Shards,
                "masks of the shards".to_owned(),
            ));
        }
        if let Some(folder) = &self.label_maps {
            self.only(&[], "--label-maps")?;
            let address = Address::parse(folder)?;
            let source = RegionSource::LabelMaps {
                place: opened.places.root(&address)?,
                folder: address.name().to_owned(),
            };
            return Ok(given(source, "label maps".to_owned()));
        }
        if let Some(path) = &self.annotations {
            self.only(&[], "--annotations")?;
            let annotations = Annotations::read(path, self.without_outline.into())?;
            let (ids, what) = annotations.without_outline();
            if !ids.is_empty() {
                let what = match what {
                    WithoutOutline::Skip => "left out (--without-outline box takes their boxes)",
                    WithoutOutline::Box => "taken by their boxes",
                };
                let count = ids.len();
                eprintln!(
                    "detcon-extract: {count} annotations have no segmentation and are {what}"
                );
            }
            let told = format!("annotations of SHA-256 {}", annotations.digest());
            return Ok(given(
                RegionSource::Annotations(Arc::new(annotations)),
                told,
            ));
        }
        self.made(&opened.network)
    }

    fn made(&self, network: &Network) -> anyhow::Result<Source> {
        let name = self.method.as_deref().unwrap_or("felzenszwalb");
        let (method, classes, told) = match name {
            "felzenszwalb" => {
                self.only(&["--scale", "--sigma", "--min-size"], name)?;
                let (scale, sigma, min_size) = UPSTREAM;
                let scale = self.scale.unwrap_or(scale);
                let sigma = self.sigma.unwrap_or(sigma);
                let min_size = self.min_size.unwrap_or(min_size);
                let told =
                    format!("felzenszwalb scale {scale}, sigma {sigma}, min-size {min_size}");
                let method = Felzenszwalb::new(scale, sigma, min_size)?;
                (Method::Felzenszwalb(method), None, told)
            }
            "grid" => {
                self.only(&["--rows", "--columns"], name)?;
                let (rows, columns) = (self.rows.unwrap_or(GRID), self.columns.unwrap_or(GRID));
                let told = format!("grid {rows}x{columns}");
                (Method::Grid(Grid::new(rows, columns)?), None, told)
            }
            "kmeans" => {
                self.only(&["--k", "--seed", "--stage"], name)?;
                let (k, seed) = (self.k.unwrap_or(CLUSTERS), self.seed.unwrap_or(0));
                let stage = self.stage.unwrap_or(Stage::C5);
                let told = format!("kmeans k {k}, seed {seed}, {}", stage.name());
                let clusters = KMeans::new(k, seed)?;
                (Method::KMeans { clusters, stage }, None, told)
            }
            _ => {
                let head = name.strip_prefix(HEAD).with_context(|| {
                    format!("--method {name} is none of felzenszwalb, grid, kmeans and head:NAME")
                })?;
                self.only(&[], name)?;
                let (method, classes) = head_of(network, head)?;
                (method, Some(classes), name.to_owned())
            }
        };
        Ok(Source {
            regions: RegionSource::Made { method, classes },
            told,
            pixels: Pixels::Shown,
        })
    }

    /// Refuses parameters of other methods.
    fn only(&self, flags: &[&str], method: &str) -> anyhow::Result<()> {
        let given = [
            ("--scale", self.scale.is_some()),
            ("--sigma", self.sigma.is_some()),
            ("--min-size", self.min_size.is_some()),
            ("--rows", self.rows.is_some()),
            ("--columns", self.columns.is_some()),
            ("--k", self.k.is_some()),
            ("--seed", self.seed.is_some()),
            ("--stage", self.stage.is_some()),
        ];
        let surplus = given
            .iter()
            .find(|(flag, given)| *given && !flags.contains(flag));
        if let Some((flag, _)) = surplus {
            bail!("{flag} does not go with {method}");
        }
        Ok(())
    }
}

/// A segmentation head of a model, and its classes.
fn head_of(network: &Network, name: &str) -> anyhow::Result<(Method, Arc<[String]>)> {
    let heads = network.heads();
    let (entry, head) = heads.get(name).with_context(|| {
        let model = &network.manifest().name;
        let known = heads.keys().cloned().collect::<Vec<_>>().join(", ");
        if known.is_empty() {
            format!("{model} has no segmentation head: train one with detcon-train finetune")
        } else {
            format!("{model} has no segmentation head {name}: it has {known}")
        }
    })?;
    let method = Method::Head {
        head: Arc::clone(head),
        stage: entry.stage,
    };
    Ok((method, entry.classes.clone().into()))
}
