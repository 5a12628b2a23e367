//! Condition variables and locks in any combination: in a cell with outside of it, one with several.

use std::sync::Arc;
use std::thread;

use super::*;
use crate::support::claims::{Named, for_every_backend, in_threads_and_processes};
use crate::support::watchdog::watch;

fn ping<B: Backend>(value: &Mutex<u64, B>, changed: &Condvar<B>) {
    thread::scope(|scope| {
        for me in 0..2 {
            scope.spawn(move || {
                let mut guard = value.lock().unwrap();
                while *guard < 1000 {
                    if *guard % 2 == me {
                        *guard += 1;
                        changed.notify_one();
                    } else {
                        guard = changed.wait(guard).unwrap();
                    }
                }
                drop(guard);
                let (guard, result) = changed.wait_timeout(value.lock().unwrap(), Duration::from_millis(5)).unwrap();
                let _ = result; // the other one's last notification may still come
                drop(guard);
            });
        }
    });
    assert_eq!(*value.lock().unwrap(), 1000);
}

for_every_backend! {
    in_cells {}
    anywhere {
        #[test]
        fn a_condvar_in_a_cell_serves_a_lock_outside() {
            let _watchdog = watch(module_path!());
            let named = Named::create(Room::<Backend>::new);
            ping(&Mutex::new(0), &named.shm.changed);
            ping(&named.shm.value, &named.shm.changed);
        }

        #[test]
        fn a_condvar_outside_serves_a_lock_in_a_cell() {
            let _watchdog = watch(module_path!());
            let named = Named::create(Room::<Backend>::new);
            ping(&named.shm.value, &Condvar::new());
            ping(&named.shm.value, &named.shm.changed);
        }

        #[test]
        fn a_lock_of_unsized_data_can_wait() {
            let _watchdog = watch(module_path!());
            let lock: Arc<Mutex<[u8], Backend>> = Arc::new(Mutex::new([1, 2, 3]));
            let (guard, _) = Condvar::new().wait_timeout(lock.lock().unwrap(), Duration::from_millis(1)).unwrap();
            assert_eq!(*guard, [1, 2, 3]);
        }
    }
}

/// One condition variable and two locks.
#[repr(C)]
#[derive(ShmSafe)]
struct Two<B: Backend> {
    values: [Mutex<u64, B>; 2],
    changed: Condvar<B>,
}

in_threads_and_processes!(
    each_waiter_gets_back_the_lock_that_it_gave_up,
    Two<B> = Two { values: [const { Mutex::new(0) }; 2], changed: Condvar::new() },
    workers = 4,
    |two, me| {
        tell_tid(me);
        let value = &two.values[me.number % 2];
        let guard = two.changed.wait_while(value.lock().unwrap(), |value| *value == 0).unwrap();
        assert_eq!((*guard, value.owner().unwrap().tid), (me.number as u64 % 2 + 1, tid()));
    },
    |two, workers| {
        let_all_sleep(workers);
        *two.values[0].lock().unwrap() = 1;
        *two.values[1].lock().unwrap() = 2;
        two.changed.notify_all();
        workers.finish();
    }
);
