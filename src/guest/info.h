/* Releasing the parts of guest.h's results; for those who build them. */
#ifndef HOTADD_GUEST_INFO_H
#define HOTADD_GUEST_INFO_H

#include "guest/guest.h"

void finding_release(struct finding *f);
void guest_kernel_release(struct guest_kernel *k);
void guest_filesystem_release(struct guest_filesystem *f);
void guest_edit_release(struct guest_edit *x);

#endif
