/*
 * Functions of many shapes that call back, built with several sets of flags, all of them with
 * -finstrument-functions: the compiler's hooks keep a list of call sites, which is a stack that
 * no unwinder had a hand in. tests/unit/test_unwind_truth.c holds the list and does the comparing.
 */
#ifndef HTRACE_TESTS_TRUTH_H
#define HTRACE_TESTS_TRUTH_H

#ifdef __cplusplus
extern "C" {
#endif

typedef void truth_callback(void);

#define TRUTH_PASTE(prefix, name) prefix##name
#define TRUTH_NAME(prefix, name)  TRUTH_PASTE(prefix, name)

/* truth_FLAGS(back): calls `back` from every shape there is. */
#define TRUTH_VARIANTS(each)                                                                       \
	each(plain) each(o0) each(omit) each(keep) each(realign) each(os) each(protect)            \
	    each(debug_frame) each(frame_pointer_only)

#define TRUTH_DECLARE(name) void truth_##name(truth_callback *back);
TRUTH_VARIANTS(TRUTH_DECLARE)
#undef TRUTH_DECLARE

/* Throws through a few frames; calls `back` from destructors and from the handler. */
void truth_exceptions(truth_callback *back);

#ifdef __cplusplus
}
#endif

#endif
