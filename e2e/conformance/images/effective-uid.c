/* SPDX-License-Identifier: Apache-2.0 */
/* Installed with the set-user-id bit: says whether that bit had its effect. */
#include <stdio.h>
#include <unistd.h>

int main(void)
{
	printf("Effective uid: %d\n", (int)geteuid());
	return 0;
}
