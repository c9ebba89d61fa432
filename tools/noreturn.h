/*
 * For clang-tidy only: Lua's headers do not say that these never return, and without that
 * the analyser follows paths behind them that do not exist.
 */
struct lua_State;
int lua_error(struct lua_State *L) __attribute__((noreturn));
int luaL_error(struct lua_State *L, const char *fmt, ...) __attribute__((noreturn));
int luaL_argerror(struct lua_State *L, int narg, const char *extramsg) __attribute__((noreturn));
