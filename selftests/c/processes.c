// SPDX-License-Identifier: GPL-2.0-only
// What a program has to find on the machine: memory, processes, threads, signals, files. Prints a line for each.

#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static sigjmp_buf out;
static volatile sig_atomic_t got, code, on_stack;
static void *volatile fault_at;
static char alternate[16384];

static void on_fault(int sig, siginfo_t *info, void *context)
{
	char here;

	(void)context;
	got = sig;
	code = info->si_code;
	fault_at = info->si_addr;
	on_stack = &here >= alternate && &here < alternate + sizeof(alternate);
	siglongjmp(out, 1);
}

static void on_user(int sig)
{
	got = sig;
}

static void *adder(void *sum)
{
	for (int k = 0; k < 1000; k++)
		__atomic_fetch_add((int *)sum, 1, __ATOMIC_SEQ_CST);
	return (void *)42;
}

static int deep(int n)
{
	volatile char frame[4096];

	frame[0] = n;
	return n == 0 ? 0 : deep(n - 1) + frame[0] - (char)n + 1;
}

static void line(const char *what, int ok)
{
	printf("%s %s\n", ok ? "ok" : "not ok", what);
}

int main(int argc, char **argv)
{
	struct sigaction act = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	stack_t stack = { .ss_sp = alternate, .ss_size = sizeof(alternate) };
	pthread_t threads[4];
	int sum = 0, status, pipes[2];
	void *value = NULL;
	char text[8] = "";
	sigset_t set, old;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc > 1 && strcmp(argv[1], "child") == 0)
		return 33;
	line("arguments", argc == 3 && strcmp(argv[1], "one") == 0 && strcmp(argv[2], "two words") == 0);
	fprintf(stderr, "on standard error\n");
	line("a stack that grows to 4 MiB", deep(1000) == 1000);

	sigaltstack(&stack, NULL);
	sigaction(SIGSEGV, &act, NULL);
	char *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (sigsetjmp(out, 1) == 0)
		page[123] = 1;
	line("a fault that a handler leaves", got == SIGSEGV && code == SEGV_ACCERR && fault_at == page + 123 && on_stack);
	munmap(page, 4096);
	got = 0;
	if (sigsetjmp(out, 1) == 0)
		page[5] = 1;
	line("a fault without a mapping", got == SIGSEGV && code == SEGV_MAPERR && fault_at == page + 5);

	signal(SIGUSR1, on_user);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	got = 0;
	sigprocmask(SIG_BLOCK, &set, &old);
	raise(SIGUSR1);
	int before = got;
	sigprocmask(SIG_SETMASK, &old, NULL);
	line("a signal waits while it is blocked", before == 0 && got == SIGUSR1);

	for (int k = 0; k < 4; k++)
		pthread_create(&threads[k], NULL, adder, &sum);
	for (int k = 0; k < 4; k++)
		pthread_join(threads[k], &value);
	line("threads", sum == 4000 && value == (void *)42);

	sum = 1;
	pid_t pid = fork();
	if (pid == 0) {
		sum = 2;
		_exit(sum + 5);
	}
	waitpid(pid, &status, 0);
	line("a child with its own memory", sum == 1 && WIFEXITED(status) && WEXITSTATUS(status) == 7);
	pid = fork();
	if (pid == 0)
		abort();
	waitpid(pid, &status, 0);
	line("a child that a signal ends", WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	pid = vfork();
	if (pid == 0) {
		execl("/proc/self/exe", argv[0], "child", NULL);
		_exit(1);
	}
	waitpid(pid, &status, 0);
	line("a child that starts a program", WIFEXITED(status) && WEXITSTATUS(status) == 33);

	line("a pipe", pipe(pipes) == 0 && write(pipes[1], "abc", 4) == 4 && read(pipes[0], text, 8) == 4 &&
			       strcmp(text, "abc") == 0);
	char *block = malloc(10 << 20);
	memset(block, 7, 10 << 20);
	line("memory", block[(10 << 20) - 1] == 7);
	line("a device", open("/dev/hmm_dmirror0", O_RDWR) >= 0);
	return 5;
}
