//! The Python door to the phalanx engine: the private module `phalanx._core`.
#![deny(unsafe_code)]

mod cache;
mod codec;
mod error;
mod ffi;
mod fork;
mod interrupt;
mod jobs;
mod manager;
mod message;
mod once;
mod pool;
mod reading;
mod threads;
mod types;
mod undisturbed;

use pyo3::prelude::*;

/// The private extension module of the `phalanx` package.
#[pymodule]
mod _core {
    #[pymodule_export]
    use crate::cache::{CacheClaim, CacheEntry, CacheStore, CallKeys, hash_object};
    #[pymodule_export]
    use crate::codec::{
        _CodecFunctions, _adopts_main, _codec_buffers, _codec_dump_exception, _codec_dumps,
        _codec_load_exception, _codec_loads, _codec_ship, adopt_global, begin_adopting,
        begin_adopting_all, register_inherited, register_reducer, register_shared,
        set_main_by_value,
    };
    #[pymodule_export]
    use crate::ffi::{Segment, SharedBlock, SharedBuffer};
    #[pymodule_export]
    use crate::jobs::{JobResult, run_command, run_jobs};
    #[pymodule_export]
    use crate::manager::{_encode_whole, _own_place, _share_with, ManagerChannel, ManagerServer};
    #[pymodule_export]
    use crate::pool::{
        _reseed_numpy, CallOptions, LineWriter, SeededThreads, Seeds, cancelled, rng,
    };
    #[pymodule_export]
    use crate::pool::{
        ApplyResult, IMapIterator, IMapUnorderedIterator, MapResult, PoolCore, WorkerBench,
    };
    #[pymodule_export]
    use crate::pool::{CallStream, Delayed, Sharing};
    #[pymodule_export]
    use crate::pool::{ExecutorCore, ExecutorMap, ExecutorService, FutureBase, FutureCondition};
    #[pymodule_export]
    use crate::pool::{TermedIterator, TermedPool};
    #[pymodule_export]
    use crate::reading::{read_ahead, read_for_map, read_for_parallel};
    #[pymodule_export]
    use crate::threads::{ThreadBench, ThreadCore, ThreadIterator};
    #[pymodule_export]
    use crate::types::challenge::{
        answer_challenge, create_response, deliver_challenge, verify_challenge,
    };
    #[pymodule_export]
    use crate::types::connection::{_attach_connection, _make_pipe, Connection};
    #[pymodule_export]
    use crate::types::containers::{SharedDict, SharedList};
    #[pymodule_export]
    use crate::types::cpu::cpu_count;
    #[pymodule_export]
    use crate::types::descriptors::{receive_fds, receive_handle, send_fds, send_handle};
    #[pymodule_export]
    use crate::types::diagnosis::{arena_census, dump_state};
    #[pymodule_export]
    use crate::types::listener::{SocketListener, connect_to};
    #[pymodule_export]
    use crate::types::passing::{clear_deposits, collect_fd, deposit_connection, deposit_fd};
    #[pymodule_export]
    use crate::types::process::{Child, fork, parent_sentinel, read_nothing, wait_for_parent};
    #[pymodule_export]
    use crate::types::program::start_program;
    #[pymodule_export]
    use crate::types::queue::Queue;
    #[pymodule_export]
    use crate::types::queue_ends::{QueueReader, QueueWriter};
    #[pymodule_export]
    use crate::types::spawning::{Spawning, accept_handover, serve_zygote, unpack};
    #[pymodule_export]
    use crate::types::tracker::{
        first_process, remove_segment, some_segment_name, spawnv_passfds, track,
    };
    #[pymodule_export]
    use crate::types::value::{_value_property, SynchronizedBase};
    #[pymodule_export]
    use crate::types::wait::wait;
    #[pymodule_export]
    use crate::types::zygote::{ensure_zygote, zygote_exitcode, zygote_pid, zygote_stop};
    #[pymodule_export]
    use crate::types::{
        barrier::Barrier, condition::Condition, event::Event, lock::Lock, rlock::RLock,
        semaphore::Semaphore,
    };

    #[pymodule_export]
    use crate::undisturbed::{WeakCallback, call_undisturbed};

    #[pymodule_init]
    fn init(m: &pyo3::Bound<'_, pyo3::types::PyModule>) -> pyo3::PyResult<()> {
        let unshareable = m.py().get_type::<crate::types::containers::Unshareable>();
        pyo3::types::PyModuleMethods::add(m, "Unshareable", unshareable)?;
        crate::types::quicken_locks(m.py())
    }
}
