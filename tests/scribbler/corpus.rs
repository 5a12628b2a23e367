//! The corpus of the fuzz targets, through the same bodies: what was found once isn't lost, without a nightly compiler.

use std::path::Path;

use crate::bodies::ALL;
use crate::support::watchdog::watch;

#[test]
fn every_input_of_the_corpus_is_refused_or_works() {
    let _watchdog = watch("every_input_of_the_corpus_is_refused_or_works");
    for (target, body) in ALL {
        let inputs = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
        let mut inputs: Vec<_> = std::fs::read_dir(inputs).unwrap().map(|input| input.unwrap().path()).collect();
        inputs.sort();
        assert!(!inputs.is_empty(), "{target} has no corpus");
        for input in inputs {
            let bytes = std::fs::read(&input).unwrap();
            if std::panic::catch_unwind(|| body(&bytes)).is_err() {
                panic!("{}", input.display());
            }
        }
    }
}
