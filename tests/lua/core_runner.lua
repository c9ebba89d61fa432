-- Runs busted inside a task of the real loop: build/dev/lua_tests tests/lua/core_runner.lua FILE...
-- The files are tests/lua/core/*_spec.lua: what needs the C core. busted ends by os.exit, which
-- would skip closing the Lua state; its verdict becomes the main task's exit code instead.
package.path = "tests/lua/?.lua;/usr/share/lua/5.1/?.lua;/usr/share/lua/5.1/?/init.lua;" .. package.path

local verdict = {}
os.exit = function(code) -- luacheck: ignore 122
  verdict.code = code == true and 0 or code == false and 1 or code or 0
  error(verdict, 0)
end

local ok, failure = xpcall(function()
  require "busted.runner" { standalone = false }
end, function(failure)
  return failure == verdict and verdict or debug.traceback(tostring(failure))
end)
if not ok and failure ~= verdict then
  io.stderr:write(failure, "\n")
  return 2
end
return verdict.code or 0
