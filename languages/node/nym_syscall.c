// SPDX-License-Identifier: GPL-2.0
/* System calls for nym.js, which Node.js has not. */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <node_api.h>

/* syscall(number, ...): numbers, and buffers as pointers; a failure is -errno. */
static napi_value do_syscall(napi_env env, napi_callback_info info)
{
	napi_value argv[6], value;
	size_t i, argc = 6;
	int64_t n[6] = { 0 }, ret;
	void *data;

	napi_get_cb_info(env, info, &argc, argv, NULL, NULL);
	for (i = 0; i < argc && i < 6; i++) {
		if (napi_get_value_int64(env, argv[i], &n[i]) != napi_ok) {
			napi_get_buffer_info(env, argv[i], &data, NULL);
			n[i] = (intptr_t)data;
		}
	}
	ret = syscall(n[0], n[1], n[2], n[3], n[4], n[5]);
	napi_create_int64(env, ret < 0 ? -errno : ret, &value);
	return value;
}

NAPI_MODULE_INIT()
{
	static const struct { const char *name; int number; } calls[] = {
		{ "socket", SYS_socket }, { "bind", SYS_bind }, { "connect", SYS_connect },
		{ "listen", SYS_listen }, { "setsockopt", SYS_setsockopt }, { "dup3", SYS_dup3 },
		{ "getsockname", SYS_getsockname }, { "getpeername", SYS_getpeername },
	};
	napi_value number;
	size_t i;

	napi_create_function(env, "syscall", NAPI_AUTO_LENGTH, do_syscall, NULL, &exports);
	for (i = 0; i < sizeof(calls) / sizeof(*calls); i++) {
		napi_create_int32(env, calls[i].number, &number);
		napi_set_named_property(env, exports, calls[i].name, number);
	}
	return exports;
}
