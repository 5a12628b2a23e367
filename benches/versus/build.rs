//! Builds the shim of Boost.Interprocess where its headers are, and says so by `cfg(boost)`.

use std::path::Path;

const HEADER: &str = "boost/interprocess/sync/interprocess_mutex.hpp";

fn main() {
    println!("cargo::rustc-check-cfg=cfg(boost)");
    println!("cargo::rerun-if-changed=subjects/boost.cpp");
    println!("cargo::rerun-if-env-changed=BOOST_INCLUDEDIR");
    let given = std::env::var("BOOST_INCLUDEDIR").ok();
    let folders = given.as_deref().into_iter().chain(["/usr/include", "/usr/local/include"]);
    let Some(folder) = folders.into_iter().find(|folder| Path::new(folder).join(HEADER).is_file()) else { return };
    let mut shim = cc::Build::new();
    shim.cpp(true).file("subjects/boost.cpp").warnings(false);
    if given.as_deref() == Some(folder) {
        shim.include(folder);
    }
    match shim.try_compile("boost-shim") {
        Ok(()) => println!("cargo::rustc-cfg=boost"),
        Err(error) => println!("cargo::warning=Boost is left out, as it can't be compiled: {error}"),
    }
}
