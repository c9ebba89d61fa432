--- The page on the event log against the sources that write it.

local function read(path)
  local file = assert(io.open(path))
  local text = file:read("*a")
  file:close()
  return text
end

local PAGE = read "docs/reference/events.md"

--- Names of all events that a source writes as literals.
local function written(source)
  local names = {}
  for arguments in source:gmatch("[%.:%s]event(%b())") do
    for name in arguments:match("^%(?[^{]*"):gmatch('"(%l+)"') do
      names[name] = true
    end
  end
  return names
end

describe("docs/reference/events.md", function()
  local found = 0
  for _, module in ipairs { "claim", "elect", "hold", "policy", "runner", "runner_flow" } do
    for name in pairs(written(read("lua/konductor/" .. module .. ".lua"))) do
      found = found + 1
      it(("tells of %s, which %s.lua writes"):format(name, module), function()
        assert.truthy(PAGE:find("\n| [^|]*`" .. name .. "`"), name)
      end)
    end
  end

  it("is compared with all events there are", function()
    assert.is_true(found >= 14, "only " .. found .. " were found")
  end)

  it("lists the rules of the checker, each with the promise that breaks it", function()
    local rules = read "lua/konductor/history_rules.lua"
    local count = 0
    for rule in rules:gmatch('"(%u%d)"') do
      count = count + 1
      assert.truthy(PAGE:find("\n| " .. rule .. " | ", 1, true), rule)
    end
    assert.is_true(count >= 14)
  end)
end)
