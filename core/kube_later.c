#include "kube_later.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "kube.h"

static void on_time(struct kon_timer *timer, void *data)
{
	(void)timer;
	kon_kube_later_now(data);
}

void kon_kube_later_init(struct kon_kube_later *later, struct kon_loop *loop, int64_t most_ms,
                         void (*give)(void *data, const char *text, size_t size, int64_t came_at_ms), void *data)
{
	*later = (struct kon_kube_later){
		.loop = loop,
		.timer = {.fire = on_time, .data = later},
		.most_ms = most_ms > 0 ? most_ms : KON_KUBE_LATER_MS,
		.give = give,
		.data = data,
	};
}

void kon_kube_later_drop(struct kon_kube_later *later)
{
	kon_timer_stop(later->loop, &later->timer);
	free(later->text);
	later->text = NULL;
}

void kon_kube_later_done(struct kon_kube_later *later)
{
	kon_kube_later_drop(later);
}

void kon_kube_later_put(struct kon_kube_later *later, const char *text, size_t size)
{
	char *copy = malloc(size > 0 ? size : 1);
	if (copy == NULL)
		abort(); /* the guards kill what runs when we are gone */
	memcpy(copy, text, size);
	later->came_at_ms = kon_clock_boot_ms();
	if (later->text == NULL) {
		int64_t least_ms = later->most_ms / 10;
		int64_t jitter_ms = kon_kube_jitter(later->most_ms - least_ms);
		kon_timer_start(later->loop, &later->timer, later->came_at_ms + least_ms + jitter_ms);
	}
	free(later->text);
	later->text = copy;
	later->size = size;
}

bool kon_kube_later_now(struct kon_kube_later *later)
{
	char *text = later->text;
	if (text == NULL)
		return false;
	later->text = NULL;
	kon_timer_stop(later->loop, &later->timer);
	later->give(later->data, text, later->size, later->came_at_ms); /* later may be gone now */
	free(text);
	return true;
}
