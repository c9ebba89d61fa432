/*
 * What happens in the child between fork and exec, and the lending of the terminal.
 *
 * Runs after two forks of a process with threads: only what a signal handler may use.
 */
#ifndef KON_CHILD_H
#define KON_CHILD_H

#include <stdbool.h>
#include <stdint.h>

#include "guard.h"

/* The step that failed, for the sentence that konductor makes of it. */
enum kon_child_step {
	KON_CHILD_PREPARE, /* descriptors, fork */
	KON_CHILD_LATE,    /* the deadline passed before the fork */
	KON_CHILD_DIRECTORY,
	KON_CHILD_EXEC,
	KON_CHILD_INTERPRETER /* the file exists, what it asks to be run by does not */
};

struct kon_child_report {
	int32_t step;
	int32_t errnum;
};

/*
 * Becomes the command.  stdio are close-on-exec duplicates above 2, and report_fd is above 2; 0 to 2 may hold anything.
 * On failure writes a struct kon_child_report to report_fd and exits; otherwise exec closes report_fd.  tty_fd may be
 * -1.
 */
_Noreturn void kon_child_run(const struct kon_guard_plan *plan, pid_t guard, const int stdio[3], int report_fd,
                             int tty_fd);

/* The controlling terminal, close-on-exec, by name or as one of stdio; -1 when there is none. */
int kon_tty_open(const int stdio[3]);

/* Makes group the terminal's foreground group if home is it now.  Never takes it from a stranger. */
void kon_tty_lend(int tty_fd, pid_t home, pid_t group);

/* Gives the terminal back to home if group, or a group that has died out, holds it. */
void kon_tty_return(int tty_fd, pid_t home, pid_t group);

#endif
