/* Gives back what starting up needed, in a process that is now going to wait for long. */
#ifndef KON_TRIM_H
#define KON_TRIM_H

/* Returns free heap to the system, and unmaps the pages of this program's code and constants: those that
 * waiting needs come back from the page cache at once, the larger part, which only start-up ran, does not. */
void kon_trim(void);

#endif
