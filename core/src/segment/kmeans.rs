//! k-means.
/// a
pub struct KMeans;
/// b
pub struct Clusters;
