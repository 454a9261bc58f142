"""The programs of the tour: one a file, each a function ``program(mp, scale)``.

``mp`` is the library to run on (``multiprocessing`` or ``phalanx``), ``scale`` the size of the work, 1.0 for all of
it. A program returns its answer: a plain value that has to be equal whichever library computed it. Random numbers are
therefore seeded in the task that draws them, and what arrives in no fixed order is sorted.

A program whose input is expensive to make has a cached function ``inputs(scale)``; the tour calls it before it starts
the clock.
"""

NAMES = (
    # Processes
    "cpu_counts",
    "sleeping_processes",
    "busy_processes",
    "hello_process",
    "doubler_processes",
    "process_states",
    "process_result",
    # Pools
    "busy_pool_default",
    "busy_pool_sized",
    "waiting_pool",
    "squares_pool",
    "sum_of_results",
    "doubler_map",
    "doubler_map_async",
    "doubler_starmap",
    "doubler_list_map",
    "doubler_apply",
    "doubler_apply_async",
    "million_starmap",
    "million_starmap_async",
    "chunks_map",
    "chunks_map_async",
    "chunks_and_back",
    "prime_factors",
    "scripts_in_parallel",
    "scripts_at_once",
    "sigmoid_pool",
    "fibonacci",
    "count_numbers",
    "pi_pool",
    "pi_numpy",
    "verify_prime_naive",
    "verify_prime_prechecked",
    "verify_prime_flagged",
    "verify_prime_search",
    "seeded_pi",
    "failing_map",
    "failing_apply_async",
    # Queues, pipes, locks, shared memory
    "queue_objects",
    "pipe_objects",
    "ping_pong",
    "passwords",
    "sigmoid_queue",
    "prime_queue",
    "printing_freely",
    "printing_guarded",
    "value_array",
    "shared_array",
    "manager_objects",
    # Executors
    "executor_map",
    "executor_submit",
    "executor_fibonacci",
    "executor_failing_map",
    "executor_failing_submit",
    "executor_lock",
    # Parallel and Memory, compared with joblib
    "parallel_squares",
    "parallel_pi",
    "parallel_generator",
    "memory_pi",
    "memory_hits",
    # Start methods
    "start_methods",
)

NOT_IN_THIS_STAGE = ("a flag kept by a Redis server",)

NEED_NUMPY = frozenset(
    {
        "chunks_map",
        "chunks_map_async",
        "chunks_and_back",
        "sigmoid_pool",
        "sigmoid_queue",
        "pi_numpy",
        "seeded_pi",
    }
)

NEED_JOBLIB = frozenset({"parallel_squares", "parallel_pi", "parallel_generator", "memory_pi", "memory_hits"})
