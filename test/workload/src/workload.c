// SPDX-License-Identifier: Apache-2.0

// workload: process trees and loads of known shape. See usage() for the verbs.
//
// A verb prints one line of JSON: what it made ("processes", itself included),
// what its processes burned by their own clocks when they ended ("burned_ns";
// each in its life, so without its own exit), and what wait4 and getrusage say
// of itself and the children it waited for ("rusage_ns").
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

// Shared with all children.
static struct truth {
	atomic_long processes, burned_ns, stop;
} *truth;

static void die(const char *what) {
	fprintf(stderr, "workload: %s: %s\n", what, strerror(errno));
	_exit(1);
}

static long long clock_ns(clockid_t id) {
	struct timespec t;
	clock_gettime(id, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

// burn returns when the given CPU clock shows ms milliseconds.
static void burn(clockid_t id, long ms) {
	while (clock_ns(id) < ms * 1000000LL)
		for (volatile int i = 0; i < 1000; i++)
			;
}

// end is the exit of a process that burned.
static void end(void) {
	atomic_fetch_add(&truth->burned_ns, clock_ns(CLOCK_PROCESS_CPUTIME_ID));
	_exit(0);
}

static pid_t start(void) {
	pid_t pid = fork();
	if (pid < 0)
		die("fork");
	if (pid > 0)
		atomic_fetch_add(&truth->processes, 1);
	return pid;
}

// reap waits until pid has ended with status 0.
static void reap(pid_t pid) {
	int status;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			die("wait");
	if (status != 0) {
		fprintf(stderr, "workload: child ended with wait status %d\n", status);
		_exit(1);
	}
}

static void report(const char *verb, long pid) {
	struct rusage r[2];
	long long ns = 0;
	getrusage(RUSAGE_SELF, &r[0]);
	getrusage(RUSAGE_CHILDREN, &r[1]);
	for (int i = 0; i < 2; i++)
		ns += (r[i].ru_utime.tv_sec + r[i].ru_stime.tv_sec) * 1000000000LL +
		      (r[i].ru_utime.tv_usec + r[i].ru_stime.tv_usec) * 1000LL;
	printf("{\"verb\":\"%s\",\"pid\":%ld,\"processes\":%ld,\"burned_ns\":%ld,\"rusage_ns\":%lld}\n", verb, pid,
	       atomic_load(&truth->processes),
	       atomic_load(&truth->burned_ns) + (long)clock_ns(CLOCK_PROCESS_CPUTIME_ID), ns);
	fflush(stdout);
}

static void fork_n(long n) {
	for (long i = 0; i < n; i++) {
		pid_t pid = start();
		if (pid == 0)
			_exit(0);
		reap(pid);
	}
}

static __attribute__((noinline)) pid_t start_vfork(void) {
	pid_t pid = vfork();
	if (pid < 0)
		die("vfork");
	if (pid == 0)
		_exit(0);
	atomic_fetch_add(&truth->processes, 1);
	return pid;
}

static void vfork_n(long n) {
	for (long i = 0; i < n; i++)
		reap(start_vfork());
}

static void burn_n(long n, long ms) {
	for (long i = 0; i < n; i++) {
		pid_t pid = start();
		if (pid == 0) {
			burn(CLOCK_PROCESS_CPUTIME_ID, ms);
			end();
		}
		reap(pid);
	}
}

// storm makes n processes, p at a time.
static void storm(long n, long p) {
	pid_t workers[1024];
	if (p < 1 || p > 1024)
		errno = EINVAL, die("storm");
	for (long i = 0; i < p; i++)
		if ((workers[i] = start()) == 0) {
			fork_n(n / p + (i < n % p));
			_exit(0);
		}
	for (long i = 0; i < p; i++)
		reap(workers[i]);
}

static pthread_t leader;
static pthread_barrier_t gate;
static long thread_ms;
static atomic_long running;

static void *burner(void *arg) {
	if (arg) // one of the threads sees the leader off
		pthread_join(leader, NULL);
	pthread_barrier_wait(&gate);
	burn(CLOCK_THREAD_CPUTIME_ID, thread_ms);
	if (atomic_fetch_sub(&running, 1) == 1)
		report("threads", getpid());
	return NULL;
}

// threads burns ms in each of n threads; the last of them reports. The leader
// waits for them, or is gone before they begin.
static void threads(long n, long ms, int leader_first) {
	pthread_t t[1024];
	if (n < 1 || n > 1024)
		errno = EINVAL, die("threads");
	leader = pthread_self();
	thread_ms = ms;
	atomic_store(&running, n);
	pthread_barrier_init(&gate, NULL, n);
	for (long i = 0; i < n; i++)
		if ((errno = pthread_create(&t[i], NULL, burner, leader_first && i == 0 ? &t : NULL)))
			die("pthread_create");
	if (leader_first)
		pthread_exit(NULL);
	for (long i = 0; i < n; i++)
		pthread_join(t[i], NULL);
}

static void *exec_self(void *arg) {
	long ms = *(long *)arg;
	char total[32];
	char *argv[] = {"workload", "self", total, NULL};
	burn(CLOCK_THREAD_CPUTIME_ID, ms);
	snprintf(total, sizeof total, "%ld", 2 * ms);
	execve("/proc/self/exe", argv, environ);
	die("exec");
	return NULL;
}

static void exec_from_thread(long ms) {
	pthread_t t;
	if ((errno = pthread_create(&t, NULL, exec_self, &ms)))
		die("pthread_create");
	pthread_join(t, NULL); // exec ends this thread
}

// leave makes a process that stays behind: it burns, and holds no descriptor on
// whose end somebody might wait.
static pid_t leave(long ms) {
	pid_t pid = start();
	if (pid != 0)
		return pid;
	int null = open("/dev/null", O_RDWR);
	for (int fd = 0; fd <= 2; fd++)
		dup2(null, fd);
	burn(CLOCK_PROCESS_CPUTIME_ID, ms);
	end();
	return 0;
}

// doublefork leaves a daemon behind and returns its pid.
static pid_t doublefork(long ms) {
	int p[2];
	pid_t daemon = 0;
	if (pipe2(p, O_CLOEXEC))
		die("pipe");
	pid_t pid = start();
	if (pid == 0) {
		setsid();
		daemon = leave(ms);
		if (write(p[1], &daemon, sizeof daemon) != sizeof daemon)
			die("write");
		_exit(0);
	}
	if (read(p[0], &daemon, sizeof daemon) != sizeof daemon)
		die("read");
	reap(pid);
	return daemon;
}

static void orphans(long n, long ms) {
	for (long i = 0; i < n; i++)
		leave(ms);
}

// killed_shell lets a process make n children and wait for none, kills it when
// half of them have ended, and waits for the rest to end by themselves.
static void killed_shell(long n, long ms) {
	int p[2], status;
	char c;
	if (pipe2(p, O_CLOEXEC))
		die("pipe");
	pid_t shell = start();
	if (shell == 0) {
		for (long i = 0; i < n; i++)
			if (start() == 0) {
				burn(CLOCK_PROCESS_CPUTIME_ID, i < n / 2 ? ms / 2 : ms);
				if (write(p[1], "", 1) != 1)
					die("write");
				end();
			}
		for (;;)
			pause();
	}
	close(p[1]);
	for (long i = 0; i < n / 2; i++)
		if (read(p[0], &c, 1) != 1)
			die("read");
	kill(shell, SIGKILL);
	waitpid(shell, &status, 0);
	while (read(p[0], &c, 1) > 0) // end of file: the last child has ended
		;
}

static void shell(long n) {
	char script[200];
	snprintf(script, sizeof script,
		 "i=0; while [ $i -lt %ld ]; do /bin/true; /bin/ls / >/dev/null; i=$((i+1)); done", n);
	char *argv[] = {"sh", "-c", script, NULL};
	pid_t pid = start();
	if (pid == 0) {
		execv("/bin/sh", argv);
		die("exec /bin/sh");
	}
	reap(pid);
	atomic_fetch_add(&truth->processes, 2 * n);
}

static void rss(long bytes) {
	char *m = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (m == MAP_FAILED)
		die("mmap");
	memset(m, 1, bytes);
	munmap(m, bytes);
}

// io writes a file in the working directory, and reads it back from storage.
static void io(long bytes) {
	static char block[1 << 16];
	int fd = open(".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0)
		die("open a temporary file in .");
	for (int pass = 0; pass < 2; pass++) {
		for (long at = 0; at < bytes;) {
			size_t want = bytes - at < (long)sizeof block ? bytes - at : (long)sizeof block;
			ssize_t n = pass ? pread(fd, block, want, at) : pwrite(fd, block, want, at);
			if (n <= 0)
				die(pass ? "read" : "write");
			at += n;
		}
		if (fsync(fd))
			die("fsync");
		posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	}
}

// Kinds of small trees that churn makes, a letter each. All end soon.
static void chain(int depth, long us) {
	pid_t pid = start();
	if (pid > 0) {
		reap(pid);
		return;
	}
	if (depth > 1)
		chain(depth - 1, us);
	usleep(us);
	end();
}

static void churn_one(char kind, unsigned r) {
	long us = r % 3000;
	pid_t pid;
	switch (kind) {
	case 'c': // children of children, each waits for its own
		chain(1 + r % 4, us / 4);
		return;
	case 'b': // burns for some ticks
		burn_n(1, r % 12);
		return;
	case 'z': // a zombie for a while
		if ((pid = start()) == 0)
			end();
		usleep(5 * us);
		reap(pid);
		return;
	case 'o': // an orphan, of a parent that did not wait
		if ((pid = start()) == 0) {
			if (start() == 0) {
				usleep(us);
				end();
			}
			end();
		}
		reap(pid);
		return;
	case 'd': // a daemon that has children of its own
		if ((pid = start()) == 0) {
			setsid();
			if (start() == 0) {
				usleep(50 * us);
				chain(2, us);
				end();
			}
			end();
		}
		reap(pid);
		return;
	}
	errno = EINVAL;
	die("churn");
}

// churn makes trees of the given kinds, by p processes at once with a pause of
// us after each tree, until standard input ends. It returns when all
// processes are gone, also those that nobody waits for.
static void churn(const char *kinds, long p, long us) {
	pid_t workers[1024];
	int gone[2], n = strlen(kinds);
	char c;
	if (p < 1 || p > 1024 || n < 1)
		errno = EINVAL, die("churn");
	if (pipe(gone))
		die("pipe");
	for (long i = 0; i < p; i++)
		if ((workers[i] = start()) == 0) {
			unsigned r = getpid() * 2654435761u | 1;
			close(gone[0]);
			while (!atomic_load(&truth->stop)) {
				r ^= r << 13, r ^= r >> 17, r ^= r << 5;
				churn_one(kinds[r % n], r >> 8);
				usleep(us);
			}
			end();
		}
	close(gone[1]);
	while (read(0, &c, 1) > 0)
		;
	atomic_store(&truth->stop, 1);
	for (long i = 0; i < p; i++)
		reap(workers[i]);
	while (read(gone[0], &c, 1) > 0) // the end: nobody holds the other end
		;
}

// spawn makes a child for each byte of standard input. It burns ms and ends; when
// it was waited for, its pid is printed.
static void spawn(long ms) {
	char c;
	while (read(0, &c, 1) > 0) {
		pid_t pid = start();
		if (pid == 0) {
			burn(CLOCK_PROCESS_CPUTIME_ID, ms);
			end();
		}
		reap(pid);
		printf("%d\n", pid);
		fflush(stdout);
	}
}

static int usage(void) {
	fputs("usage: workload VERB ARG…\n"
	      "  fork N             N times fork and exit\n"
	      "  vfork N            N times vfork and exit\n"
	      "  storm N P          N times fork and exit, by P processes at once\n"
	      "  burn N MS          N processes, one after the other, each burns MS ms\n"
	      "  threads N MS [leader-first]  N threads, each burns MS ms\n"
	      "  exec-from-thread MS  a thread burns MS ms and execs self, which burns as much\n"
	      "  self MS            burn MS ms in all, without children\n"
	      "  hold MS            burn MS ms, report, live on until standard input ends\n"
	      "  doublefork MS      leave a daemon behind that burns MS ms; \"pid\" is its pid\n"
	      "  orphans N MS       leave N processes behind that burn MS ms each\n"
	      "  killed-shell N MS  N children that burn, of a process killed before it waits\n"
	      "  shell N            a shell loop, N times true and ls\n"
	      "  churn KINDS P US   small trees until standard input ends, by P processes, US µs apart;\n"
	      "                     of kinds c chain, b burn, z zombie, o orphan, d daemon\n"
	      "  spawn MS           a child that burns MS ms for each byte of standard input; prints its pid\n"
	      "  rss BYTES          touch that much memory\n"
	      "  io BYTES           write a file in the working directory and read it again\n",
	      stderr);
	return 2;
}

int main(int argc, char **argv) {
	const char *verb = argc > 1 ? argv[1] : "";
	long a = argc > 2 ? atol(argv[2]) : 0, b = argc > 3 ? atol(argv[3]) : 0;
	long pid = getpid();
	truth = mmap(NULL, sizeof *truth, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (truth == MAP_FAILED)
		die("mmap");
	atomic_store(&truth->processes, 1);

	if (!strcmp(verb, "fork") && argc == 3)
		fork_n(a);
	else if (!strcmp(verb, "vfork") && argc == 3)
		vfork_n(a);
	else if (!strcmp(verb, "storm") && argc == 4)
		storm(a, b);
	else if (!strcmp(verb, "burn") && argc == 4)
		burn_n(a, b);
	else if (!strcmp(verb, "threads") && (argc == 4 || (argc == 5 && !strcmp(argv[4], "leader-first")))) {
		threads(a, b, argc == 5);
		return 0; // the last thread has reported
	} else if (!strcmp(verb, "exec-from-thread") && argc == 3)
		exec_from_thread(a);
	else if ((!strcmp(verb, "self") || !strcmp(verb, "hold")) && argc == 3)
		burn(CLOCK_PROCESS_CPUTIME_ID, a);
	else if (!strcmp(verb, "doublefork") && argc == 3)
		pid = doublefork(a);
	else if (!strcmp(verb, "orphans") && argc == 4)
		orphans(a, b);
	else if (!strcmp(verb, "killed-shell") && argc == 4)
		killed_shell(a, b);
	else if (!strcmp(verb, "shell") && argc == 3)
		shell(a);
	else if (!strcmp(verb, "churn") && argc == 5)
		churn(argv[2], b, atol(argv[4]));
	else if (!strcmp(verb, "spawn") && argc == 3)
		spawn(a);
	else if (!strcmp(verb, "rss") && argc == 3)
		rss(a);
	else if (!strcmp(verb, "io") && argc == 3)
		io(a);
	else
		return usage();
	report(verb, pid);
	if (!strcmp(verb, "hold"))
		while (getchar() != EOF)
			;
	return 0;
}
