// SPDX-License-Identifier: GPL-2.0-only
// Nothing, for the time that a program takes to start and to end.

int main(void)
{
	return 0;
}
