//! Hazards that other libraries fail at, by their numbers, staged for every backend.
//!
//! What is asked here is what must come to pass on all of them: nobody is left asleep for ever beside what it could have, and
//! nothing is lost or doubled. How soon is another question, which tests of a single backend ask.

mod actor;
mod givers;
mod owners;
mod stage;
#[path = "../support/mod.rs"]
mod support;
mod timed;
mod waiters;

/// A hazard that its body stages on a stage of its own, again and again until it was met: `Some`.
macro_rules! hazard {
    ($(#[doc = $doc:literal])* $name:ident, |$stage:pat_param| $body:block) => {
        $(#[doc = $doc])*
        mod $name {
            #[allow(unused_imports, reason = "not every body uses any")]
            use super::*;
            fn body<B: pshared::backend::Backend>($stage: &$crate::stage::Stage<B>) -> Option<()> $body

            $crate::support::claims::for_every_backend! {
                #[test]
                fn staged() {
                    $crate::stage::run(concat!(module_path!(), "::staged"), body::<Backend>);
                }
            }
        }
    };
}
pub(crate) use hazard;
