// SPDX-License-Identifier: Apache-2.0
/*
 * storm COUNT FLAGS DEPTH BURN_NS CGROUP_FD - the smallest process that forks
 *
 * It makes COUNT children by clone3 with FLAGS, one after another, waits for
 * each, and writes a pair of 64-bit numbers for it to standard output: its pid
 * and the nanoseconds from before the clone until after the wait. A child
 * makes a child of its own until there are DEPTH generations, runs for BURN_NS,
 * and exits. CGROUP_FD, if not negative, is where they are born.
 *
 * A child reads the wall clock, not its CPU clock: reading that would bring
 * the kernel's account of it up to date.
 *
 * No libc: a child's few pages leave next to nothing to tear down, so that
 * what is measured is the fork and the exit. x86-64 only.
 */
typedef unsigned long u64;

struct clone_args {
	u64 flags, pidfd, child_tid, parent_tid, exit_signal;
	u64 stack, stack_size, tls, set_tid, set_tid_size, cgroup;
};

struct timespec {
	long sec, nsec;
};

enum {
	SYS_write = 1, SYS_wait4 = 61, SYS_clock_gettime = 228,
	SYS_exit_group = 231, SYS_clone3 = 435,
	CLOCK_MONOTONIC = 1,
	SIGCHLD = 17, WALL = 0x40000000, EINTR = 4, ECHILD = 10,
};
#define CLONE_PARENT 0x8000ul
#define CLONE_INTO_CGROUP 0x200000000ul

static long syscall4(long n, long a, long b, long c, long d)
{
	register long r10 __asm__("r10") = d;

	__asm__ volatile("syscall" : "+a"(n) : "D"(a), "S"(b), "d"(c), "r"(r10)
			 : "rcx", "r11", "memory");
	return n;
}

static _Noreturn void quit(long status)
{
	for (;;)
		syscall4(SYS_exit_group, status, 0, 0, 0);
}

static long now(void)
{
	struct timespec ts;

	syscall4(SYS_clock_gettime, CLOCK_MONOTONIC, (long)&ts, 0, 0);
	return ts.sec * 1000000000 + ts.nsec;
}

/*
 * Never returns: with CLONE_VM the caller's frame is its parent's. The next
 * generation goes on in the loop, its parent leaves it.
 */
static _Noreturn __attribute__((noinline)) void
child(struct clone_args *ca, long depth, long burn)
{
	while (depth-- > 1 && syscall4(SYS_clone3, (long)ca, sizeof(*ca), 0, 0) == 0)
		;
	for (long start = now(); now() - start < burn;)
		;
	quit(0);
}

static long number(const char *s)
{
	long n = 0, sign = 1;

	if (*s == '-') {
		sign = -1;
		s++;
	}
	for (; *s >= '0' && *s <= '9'; s++)
		n = n * 10 + *s - '0';
	return sign * n;
}

__attribute__((used)) static _Noreturn void run(long *stack)
{
	char **argv = (char **)(stack + 1);
	struct clone_args ca = { .exit_signal = SIGCHLD };

	if (stack[0] != 6)
		quit(2);
	long count = number(argv[1]);
	long depth = number(argv[3]);
	long burn = number(argv[4]);
	long cgroup = number(argv[5]);

	ca.flags = (u64)number(argv[2]);
	if (ca.flags & CLONE_PARENT)
		ca.exit_signal = 0; /* the child gets this process's own */
	if (cgroup >= 0) {
		ca.flags |= CLONE_INTO_CGROUP;
		ca.cgroup = (u64)cgroup;
	}
	for (long i = 0; i < count; i++) {
		long start = now(), err;
		long pid = syscall4(SYS_clone3, (long)&ca, sizeof(ca), 0, 0);

		if (pid == 0)
			child(&ca, depth, burn);
		if (pid < 0)
			quit(1);
		do
			err = syscall4(SYS_wait4, pid, 0, WALL, 0);
		while (err == -EINTR);
		if (err < 0 && !(err == -ECHILD && ca.flags & CLONE_PARENT))
			quit(1);

		long pair[2] = { pid, now() - start };

		if (syscall4(SYS_write, 1, (long)pair, sizeof(pair), 0) != sizeof(pair))
			quit(1);
	}
	quit(0);
}

__asm__(".globl _start\n"
	"_start:\n"
	"	mov %rsp, %rdi\n"
	"	and $-16, %rsp\n"
	"	call run\n");
