--- The seam: policies and what carries them out reach the machine through the verbs of
--- world.lua and through nothing else, so that what is simulated is what ships.

local globals = require "konductor.globals"
local world = require "konductor.world"

local ROOT = "lua/konductor/"

--- The side of the real machine and of the script's author. Every other file of the library
--- is within the seam, a new one without being asked.
local OUTSIDE = {
  "failure", "globals", "init", "library", "log", "program", "real", "runner", "script", "store", "world",
}

--- Files that carry decisions out: they have a world. The rest is pure.
local AT_THE_EDGE = { "cas", "observe", "hold", "patience", "candidate", "elect", "claim", "await", "moment", "oneshot",
  "policy", "runner_flow" }

local ALLOWED = {
  "assert", "error", "getmetatable", "ipairs", "math", "next", "pairs", "pcall", "rawget", "rawset", "require",
  "select", "setmetatable", "string", "table", "tonumber", "tostring", "type", "unpack",
}

--- Fields of the allowed tables that give other answers on another machine.
local FORBIDDEN = {
  "math%.random", "string%.dump", "math%.sin", "math%.cos", "math%.exp", "math%.log", "math%.pow", "math%.sqrt",
}

local function set(list)
  local members = {}
  for _, name in ipairs(list) do
    members[name] = true
  end
  return members
end

local outside, edge, allowed, verbs = set(OUTSIDE), set(AT_THE_EDGE), set(ALLOWED), set(world.verbs)
verbs.holder, verbs.session = true, true

local function source(name)
  local file = assert(io.open(ROOT .. name .. ".lua"))
  local text = file:read "*a"
  file:close()
  return text
end

--- The code without its comments and without what stands in quotes.
local function code(name)
  return (source(name):gsub("%-%-%[%[.-%]%]", ""):gsub('"[^"\n]*"', '""'):gsub("%-%-[^\n]*", ""))
end

local inside = {}
do
  local listing = assert(io.popen("ls " .. ROOT .. "*.lua"))
  for path in listing:lines() do
    local name = path:match "([^/]+)%.lua$"
    if not outside[name] then
      inside[#inside + 1] = name
    end
  end
  listing:close()
end

describe("the seam", function()
  it("has the policies and their edge within it", function()
    local found = set(inside)
    for _, name in ipairs { "lease", "once", "ttl", "priority", "flow", "record", "history", unpack(AT_THE_EDGE) } do
      assert.is_true(found[name], name .. " is not checked")
    end
  end)

  for _, name in ipairs(inside) do
    it("keeps " .. name .. " from globals of the machine", function()
      local unknown = globals.unknown(assert(loadfile(ROOT .. name .. ".lua")), function(global)
        return allowed[global] == true
      end)
      local uses = {}
      for i, use in ipairs(unknown) do
        uses[i] = ("%s.lua:%d: %s"):format(name, use.line, use.name)
      end
      assert.equal("", table.concat(uses, ", "))
      for _, pattern in ipairs(FORBIDDEN) do
        assert.is_nil(code(name):find(pattern), name .. " uses " .. pattern)
      end
    end)

    it("lets " .. name .. " require only what is within it", function()
      for required in source(name):gmatch 'require%s*%(?%s*"([^"]+)"' do
        local module = required:match "^konductor%.([%w_]+)$"
        assert.is_truthy(module, name .. " requires " .. required)
        assert.is_nil(outside[module], name .. " requires " .. required .. ", which is outside")
        if not edge[name] then
          assert.is_nil(edge[module], name .. " is pure, but requires " .. required .. " at the edge")
        end
      end
    end)

    it("loads " .. name .. " where nothing but the basics exists", function()
      local function load_inside(module, loaded)
        if loaded[module] then
          return loaded[module]
        end
        local env = {}
        for _, global in ipairs(ALLOWED) do
          env[global] = _G[global]
        end
        env.require = function(required)
          return load_inside(assert(required:match "^konductor%.([%w_]+)$", required), loaded)
        end
        local chunk = assert(loadfile(ROOT .. module .. ".lua"))
        setfenv(chunk, setmetatable(env, {
          __index = function(_, global) error("uses the global " .. global, 2) end,
          __newindex = function(_, global) error("sets the global " .. global, 2) end,
        }))
        loaded[module] = chunk()
        return loaded[module]
      end
      assert.equal("table", type(load_inside(name, {})))
    end)

    if edge[name] then
      it("lets " .. name .. " use only verbs of the world", function()
        local used = 0
        for verb in code(name):gmatch "%f[%w_]w%.([%a_]+)" do
          used = used + 1
          assert.is_true(verbs[verb], name .. " uses w." .. verb)
        end
        assert.is_true(used > 0)
      end)
    else
      it("gives " .. name .. " no world", function()
        assert.is_nil(code(name):find "%f[%w_]w%.[%a_]+%(", name .. " calls a verb of the world")
      end)
    end
  end
end)

describe("a world", function()
  local function names_of(given)
    local names = {}
    for name in pairs(given) do
      names[#names + 1] = name
    end
    table.sort(names)
    return table.concat(names, " ")
  end

  local wanted = { unpack(world.verbs) }
  table.sort(wanted)
  wanted = table.concat(wanted, " ")

  it("in memory has every verb and no other", function()
    local s = require("konductor.sim.world").new()
    assert.equal(wanted, names_of(s:boot("a").world))
  end)

  it("of the real machine has every verb and no other", function()
    local before = package.loaded["konductor.core"]
    package.loaded["konductor.core"] = setmetatable({
      environ = function() return {} end,
      pid = function() return 1 end,
    }, {
      __index = function() return function() end end,
    })
    package.loaded["konductor.real"] = nil
    local real = require "konductor.real"
    package.loaded["konductor.core"], package.loaded["konductor.real"] = before, nil
    assert.equal(wanted, names_of((real.new { session = "s", holder = "h", log = {} })))
  end)
end)
