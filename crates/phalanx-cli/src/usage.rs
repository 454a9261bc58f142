//! What `--help` prints.

pub(crate) const HELP: &str = "\
Runs scripts and command lines in parallel.

    phalanx run [OPTION]... COMMAND...                 each COMMAND is a job
    phalanx run [OPTION]... [--] COMMAND [WORD]... ::: VALUE...   a job for each VALUE
    phalanx run [OPTION]... --from FILE                a job for each line of FILE
    phalanx run [OPTION]... --from FILE -- COMMAND [WORD]...      a job for each line, as the VALUE

A COMMAND that is a .py file, or begins with one, is run by Python; any other is a line for the shell.
FILE may be - for standard input. In a COMMAND with VALUEs {} stands for the value, {1} {2} for those of
several ::: lists, {#} for the job's number; without any of these the value goes to the end. A COMMAND
of several words is run without a shell; one of a single word is a line for it, with values quoted.

What to run
  -c, --command LINE    a job more: a line for the shell
      --from FILE       read lines from FILE; empty lines and those that begin with # are left out
  -0, --null            lines of FILE end with a zero byte, and none is left out
      --python FILE     the interpreter for .py files (default: the one phalanx is installed with)
      --cwd FOLDER      where to run the jobs
      --env NAME=VALUE  set a variable for the jobs
How to run it
  -j, --jobs N          so many at a time (default: one for each processor)
      --timeout TIME    end a job's process group after TIME: SIGTERM, and later SIGKILL
      --kill-after TIME how much later (default: 5s)
      --retries N       run a job that has failed again, up to N times
      --halt WHEN       never; soon: after a failure start no more; now: end the running ones too;
                        soon,fail=3 or now,fail=20%: after so many failures
      --joblog FILE     write a line to FILE for each job that has ended
      --resume          leave out jobs that have succeeded according to the job log
      --dry-run         print the commands that would be run, and run none
What to show
      --output HOW      group: what a job writes, whole, when it has ended (default); line: whole lines,
                        at once; none: nothing; any other word: into files of the folder of that name
      --tag             begin each line of output with its command
      --progress WHEN   auto: a status line on a terminal, now and then a line elsewhere (default);
                        never: no progress
  -q, --quiet           no progress, no failures, no summary
  -h, --help            print this;  -V, --version: print the version

TIME is a number of seconds, or has a unit: 500ms, 90s, 5m, 2h.

Exit codes: 0 all jobs succeeded; 1 a job failed or was not run; 2 wrong usage, or a file cannot be
used; 130 Ctrl-C, 143 SIGTERM, 129 SIGHUP, 141 nobody reads the output any more.
";

pub(crate) const BRIEF: &str = "\
Usage: phalanx run [OPTION]... COMMAND...
Runs scripts and command lines in parallel; `phalanx run --help` tells more.
";
