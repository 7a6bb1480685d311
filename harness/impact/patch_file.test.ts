// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { UsageError } from '../cli/usage_error.ts';
import { read_patch } from './patch_file.ts';

const MAIL = `From 0123456789abcdef0123456789abcdef01234567 Mon Sep 17 00:00:00 2001
From: A Developer <dev@example.org>
Date: Mon, 2 Mar 2026 10:00:00 +0000
Subject: [PATCH v2 1/2] mm/hmm: look twice
 before leaping
Message-Id: <20260302100000.1-1-dev@example.org>

Words.
---
 mm/hmm.c | 5 +++--
 1 file changed, 3 insertions(+), 2 deletions(-)

diff --git a/mm/hmm.c b/mm/hmm.c
index 1111111..2222222 100644
--- a/mm/hmm.c
+++ b/mm/hmm.c
@@ -10,6 +10,7 @@ static int first(int a)
 	int b;
 
-	b = a;
+	b = a + 1;
+	b++;
 	return b;
 }
 
@@ -40,6 +41,8 @@ static int above(void)
 	return 0;
 }
 
+#define LIMIT 3
+
 static void second(struct hmm_range *range,
 		   int n)
 {
@@ -60,5 +63,5 @@ SYSCALL_DEFINE2(munmap, unsigned long, addr, size_t, len)
 	int ret;
 
-	ret = 1;
+	ret = 2;
 	return ret;
 }
diff --git a/Documentation/mm/hmm.rst b/Documentation/mm/hmm.rst
--- a/Documentation/mm/hmm.rst
+++ b/Documentation/mm/hmm.rst
@@ -1,2 +1,2 @@
-old
+new
 line
-- 
2.43.0

`;

t.test('each changed line belongs to the function that it stands in', async (t) => {
  const patch = read_patch(MAIL, 'a.patch');
  t.equal(patch.subject, 'mm/hmm: look twice before leaping');
  t.equal(patch.message_id, '20260302100000.1-1-dev@example.org');
  t.equal(patch.patches, 1);
  t.same(patch.touched, [
    { c_file: 'mm/hmm.c', c_name: 'first', added: 2, removed: 1 },
    { c_file: 'mm/hmm.c', c_name: 'LIMIT', added: 1, removed: 0 },
    { c_file: 'mm/hmm.c', c_name: 'munmap', added: 1, removed: 1 },
    { c_file: 'Documentation/mm/hmm.rst', c_name: null, added: 1, removed: 1 },
  ]);
});

t.test('a function that is added as a whole is named, and what stands between two of them is not theirs', async (t) => {
  const diff = `--- a/mm/memory.c
+++ b/mm/memory.c
@@ -1,4 +1,11 @@ static int above(void)
 }
 
+#include <linux/new.h>
+
+static vm_fault_t brand_new(struct vm_fault *vmf)
+{
+	if (vmf)
+		return 0;
+}
 
 int below(void)
`;
  t.same(read_patch(diff, '-').touched, [
    { c_file: 'mm/memory.c', c_name: null, added: 1, removed: 0 },
    { c_file: 'mm/memory.c', c_name: 'brand_new', added: 5, removed: 0 },
  ]);
});

t.test('a text without a patch is refused', async (t) => {
  t.throws(
    () => read_patch('Dear list,\n', 'mail.txt'),
    new UsageError('mail.txt: expected a patch, with lines that begin with "diff --git" or "---", "+++" and "@@"'),
  );
});
