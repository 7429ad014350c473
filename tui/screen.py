"""The explorer: what keys do to the Selection that the stage shows.

Going places, the cursor, and how things look; what is given in words is ``asking``.
"""

from __future__ import annotations

from dataclasses import replace

from textual import on
from textual.binding import Binding
from textual.widgets import Input

from . import captions, needs, state
from .asking import Asking
from .commands import COMMANDS, Command, by_id, display, other_keys, typed_keys
from .engine.jobs import HeadAt
from .finding import PAIRS, head_at
from .results import ModelInfo, Table
from .stage import ExportWanted
from .state import Selection
from .views.chart import Bars, Plot
from .views.gallery import Thumbnails
from .views.heatmap import Heatmap
from .views.help import Entry, Help
from .views.model_tree import ModelTree, Place

_OVER = {"shown": "the shown tokens", "vocabulary": "the whole vocabulary"}
_MODES = {
    "pattern": "mode", "qk": "term", "residual": "measure", "lens": "lens", "heads": "score", "compose": "kind",
    "pairs": "circuit", "svd": "circuit",
}  # fmt: skip
"""View → the option that ``m`` cycles."""
_UNITS = {
    "residual": "unit", "lens": "mids", "attribution": "grain", "why": "unit", "heads": "on", "compose": "direction",
}  # fmt: skip
"""View → the option that ``u`` cycles."""
_ONLY_IN: dict[str, tuple[state.View, ...]] = {
    "normalize": ("qk", "ov"), "baseline": ("qk", "ov"), "form": ("qk",), "basis": ("qk", "ov", "heads", "pairs"),
}  # fmt: skip
"""Options of some views: elsewhere they would change numbers out of sight."""
_ONE_MODE = {
    "ov": "OV has one mode; n normalises it, 0 shows the direct path W_E W_U",
    "attribution": "attribution has one mode; u changes what its parts are, A the answer",
    "why": "a score has one split; u changes what its parts are",
    "neurons": "neurons have one mode; [ and ] change the layer",
}


def bindings(command: Command) -> list[Binding]:
    """A command's keys. Those that are text elsewhere come first of all, whatever has the focus but a text field:
    over a slow link several keys arrive at once, and ``i`` must have moved the focus before the next one is looked at.
    """
    out = []
    for keys, at_once in ((typed_keys(command), True), (other_keys(command), False)):
        if keys:
            out.append(
                Binding(
                    ",".join(keys),
                    f"typed('{command.id}')" if at_once else command.action,
                    command.footer or command.label,
                    show=bool(command.footer) and command.keys[0] in keys,
                    id=command.id,
                    key_display=display(keys[0]),
                    priority=at_once,
                    group=Binding.Group(command.footer, compact=True) if command.footer in ("head", "layer") else None,
                )
            )
    return out


class Explorer(Asking):
    """The one screen."""

    BINDINGS = [binding for command in COMMANDS for binding in bindings(command)]

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Letters are text while a text field has the focus."""
        return not (action == "typed" and isinstance(self.focused, Input))

    async def action_typed(self, command_id: str) -> None:
        await self.run_action(by_id(command_id).action)

    # --- finding heads -----------------------------------------------------------------------------------------------

    def action_toggle_order(self) -> None:
        f = self.selection.finding
        self.change(replace(self.selection, finding=replace(f, by_score=not f.by_score)))

    def action_toggle_virtual(self) -> None:
        s = self.selection
        if s.view != "compose":
            self.say("virtual heads are in Compose: 8, then the cursor on another head", about="option")
        else:
            self.change(replace(s, finding=replace(s.finding, virtual=not s.finding.virtual)), jump=True)

    def _open_found(self, at: HeadAt) -> None:
        """enter on a head that was found: its pattern, or the circuit that pairs were searched in, on their tokens."""
        s, f = self.selection, self.selection.finding
        there = replace(s, layer=at[0], head=at[1], column=0)
        if s.view == "heads" and f.score in PAIRS and f.pairs is not None:
            ids = dict.fromkeys(token for pair in f.pairs.ids for token in pair)
            there = replace(there, view=PAIRS[f.score], words=",".join(map(str, ids)), list_row=0, list_col=1)
        else:
            there = replace(there, view="pattern", mode="pattern" if s.mode == "all heads" else s.mode)
        self.change(there, jump=True)

    def _open_pair(self, table: Table, place: int) -> None:
        """The two tokens of a pair that was found, in the circuit in which it was."""
        ids = [cell for name, cell in zip(table.columns, table.rows[place], strict=True) if name.endswith("id")]
        s = self.selection
        words = ",".join(str(token) for token in dict.fromkeys(ids))
        self.change(replace(s, view=s.finding.circuit, words=words, list_row=0, list_col=len(set(ids)) - 1), jump=True)

    # --- going places -----------------------------------------------------------------------------------------------

    def _leave_panel(self) -> None:
        """On a small screen: the picture again, where the panel has taken its place."""
        if self.small and self._panel_asked:
            self._panel_asked = False
            self._draw_panel()
            self._focus_view()

    def action_view(self, view: str) -> None:
        self._leave_panel()
        names = needs.panels(self.selection)
        panel = 0 if self.selection.panel < max(1, len(names)) else 99  # a view without panels closes none
        s = self.selection
        if view == "compose" and s.finding.virtual:
            s = replace(s, finding=replace(s.finding, virtual=False))
        self.change(replace(s, view=view, panel=panel), jump=True)  # type: ignore[arg-type]

    def action_step_head(self, step: int) -> None:
        s = self.selection
        if s.model is not None:
            head = 0 if s.head is None else (s.head + step) % s.model.n_heads
            self.change(replace(s, head=head, column=0), jump=True)

    def action_step_layer(self, step: int) -> None:
        s = self.selection
        if s.model is not None:
            self.change(replace(s, layer=(s.layer + step) % s.model.n_layers, head=s.head or 0), jump=True)

    def action_step_position(self, step: int) -> None:
        self.change(state.with_position(self.selection, step))

    def action_sources(self) -> None:
        s = self.selection
        self._leave_panel()
        if s.model is not None and s.head is None:
            self.say("no head is selected: } selects one", about="option")
            return
        file = replace(s.file, over=False) if s.file else None
        self.change(replace(s, view="pattern", mode="sources", panel=0, file=file), jump=True)

    def jump_to_neuron(self, layer: int, neuron: int) -> None:
        """Show a neuron by number; one that does not exist is said."""
        model = self.selection.model
        if model is None:
            self.say("the model is still loading")
        elif model.capabilities.neurons:
            self.say(model.capabilities.neurons)
        elif not (0 <= layer < model.n_layers and 0 <= neuron < model.d_mlp):
            self.say(f"there is no L{layer}N{neuron}: layers 0 to {model.n_layers - 1}, neurons 0 to {model.d_mlp - 1}")
        else:
            self.say("")
            self.change(state.at_part(self.selection, f"L{layer}N{neuron}"), jump=True)

    def action_direct_path(self) -> None:
        self.change(replace(self.selection, head=None, view="ov"), jump=True)

    def jump(self, layer: int, head: int) -> None:
        """Show a head by number; one that does not exist is said."""
        model = self.selection.model
        if model is None:
            self.say(f"L{layer}H{head} comes when the model is there")
            self.change(replace(self.selection, layer=layer, head=head, column=0))
        elif not (0 <= layer < model.n_layers and 0 <= head < model.n_heads):
            self.say(f"there is no L{layer}H{head}: layers 0 to {model.n_layers - 1}, heads 0 to {model.n_heads - 1}")
        else:
            self.say("")
            self.change(replace(self.selection, layer=layer, head=head, column=0), jump=True)

    @on(ModelTree.Chosen)
    def _chosen(self, message: ModelTree.Chosen) -> None:
        place, s = message.place, self.selection
        if place == Place():
            self.action_direct_path()
        elif place.mlp and s.model is not None:
            self._chose_mlp(s, s.model, place.layer or 0)
        elif place.head is None:
            self.change(replace(s, layer=place.layer or 0, head=s.head or 0), jump=True)
        else:
            self.change(replace(s, layer=place.layer or 0, head=place.head, column=0), jump=True)

    def _chose_mlp(self, s: Selection, model: ModelInfo, layer: int) -> None:
        """An MLP of the tree: its neurons where they are shown already, else its row among the writes."""
        if s.view == "neurons":
            self.change(replace(s, layer=layer, neuron=None, neuron_row=0), jump=True)
        else:
            row = state.mlp_row(model, layer)
            flow: state.Flow = s.measure if s.measure in ("norm", "answer") else "norm"
            self.change(replace(s, view="residual", measure=flow, layer=layer, component=row), jump=True)

    def action_back(self) -> None:
        self._travel(self._trail.back(self.selection), "nowhere to go back to")

    def action_forward(self) -> None:
        self._travel(self._trail.forward(self.selection), "nowhere to go forward to")

    def _travel(self, there: Selection | None, empty: str) -> None:
        if there is None:
            self.say(empty)
        else:
            self.change(there)

    # --- cursor -----------------------------------------------------------------------------------------------------

    def action_cursor(self, rows: int, cols: int) -> None:
        s = self.selection
        if s.view == "svd" and isinstance(self.focused, Plot) and s.model is not None:
            place = max(0, min(s.finding.singular + (rows or cols), s.model.d_head - 1))
            self.change(replace(s, finding=replace(s.finding, singular=place)))
            return
        if isinstance(self.focused, Bars):
            self.focused.action_cursor(rows)
        elif isinstance(self.focused, ModelTree):
            (self.focused.action_cursor_down if rows > 0 else self.focused.action_cursor_up)()
        else:
            self.main.picture.action_cursor(rows, cols)
            self._follow()

    def action_edge(self, side: int) -> None:
        if isinstance(self.focused, Bars):
            self.focused.action_edge(side)
        else:
            self.main.picture.action_edge(side)
            self._follow()

    def action_page(self, direction: int) -> None:
        (self.focused if isinstance(self.focused, Bars) else self.main.picture).action_page(direction)
        self._follow()

    def action_open(self) -> None:
        (self.focused if isinstance(self.focused, Bars) else self.main.picture).action_open()

    @on(Heatmap.CursorMoved)
    def _cursor_moved(self, message: Heatmap.CursorMoved) -> None:
        if (message.row, message.col) == self.heatmap.cursor:  # else: a place it has left since
            self._follow()

    def _follow(self) -> None:
        """The selection is where the cursor is: at once after a key, since a redraw sets the cursor from it."""
        picture = self.main.picture
        if isinstance(picture, Heatmap) and picture.grid is not None:
            moved = state.with_cell(self.selection, *picture.cursor)
        elif isinstance(picture, Bars) and picture.table is not None:
            moved = state.with_cell(self.selection, picture.cursor, 0)
        else:
            return
        if state.cell_in_view(moved) == state.cell_in_view(self.selection):
            return
        # Another position asks Attribution anew: its picture changes with the cursor of the other views only.
        self.selection = moved
        self._want()
        self._draw_lines(patient=True)
        self.query_one(ModelTree).point(moved.layer, moved.head)
        if self._panel_open():
            if self._panel_timer is not None:
                self._panel_timer.stop()
            self._panel_timer = self.set_timer(self.panel_pause, self._draw_panel)

    @on(Bars.CursorMoved)
    def _row_moved(self, message: Bars.CursorMoved) -> None:
        if message.bars is self.main.picture and message.row == message.bars.cursor:
            self._follow()

    @on(Heatmap.Opened)
    def _opened_cell(self, message: Heatmap.Opened) -> None:
        """enter goes where the cell leads: to the part that it is about, from a pattern to what the key makes the head
        write, from OV back, from the lens to what made the state."""
        s, grid = self.selection, self.heatmap.grid
        if grid is None:
            return
        if s.view in ("residual", "attribution"):
            self._go_to_part(self._part())
        elif s.view in ("heads", "compose"):
            if not s.virtual:
                self._open_found((message.row, message.col))
        elif s.view == "why":
            query, key = grid.rows.labels[message.row], grid.cols.labels[message.col]
            self._go_to_part(key if state.leads_on(key) else query)
        elif s.view == "neurons":
            self._show_panel("neuron writes")
        elif s.view == "lens":
            self.action_view("attribution")
        elif s.view == "pattern" and not s.on_list:
            self.change(replace(s, view="ov", row=s.cell[1]), jump=True)
        else:
            self.action_view("ov" if s.view != "ov" else "pattern")

    @on(Thumbnails.Opened)
    def _opened_thumbnail(self, message: Thumbnails.Opened) -> None:
        self.change(replace(self.selection, head=message.index, mode="pattern"), jump=True)

    @on(Bars.Opened)
    def _opened_bar(self, message: Bars.Opened) -> None:
        """enter in a list goes to the part, the head of the pair, or the prompt that the row names."""
        table = message.bars.table
        if table is None:
            return
        row = dict(zip(table.columns, table.rows[message.row], strict=True))
        if message.bars is self.main.picture and self.selection.view == "pairs":
            self._open_pair(table, message.row)
        elif "head" in row and (at := head_at(str(row["head"]))):
            self._open_found(at)
        elif message.bars is self.main.picture:
            self._go_to_part(self._part())
        elif needs.panel_name(self.selection) == "contexts":
            self._go_to_context(message.row)
        elif "at the key" in row:
            query, key = str(row["at the query"]), str(row["at the key"])
            self._go_to_part(key if state.leads_on(key) else query)
        elif "part" in row and "token" not in row:
            self._go_to_part(str(row["part"]))

    def _go_to_context(self, place: int) -> None:
        """The prompt of the file in which the head attended so, with the cursor on that cell."""
        s = self.selection
        found = self._cached(needs.panel_job(s))
        if not isinstance(found, Table) or s.file is None:
            return
        row = dict(zip(found.columns, found.rows[place], strict=True))
        prompt, query, key = (int(row[name] or 0) for name in ("prompt", "query position", "key position"))
        there = state.at_prompt(replace(s, file=replace(s.file, over=False), view="pattern"), prompt)
        if there.text == s.text:
            self.change(replace(there, row=query, col=key), jump=True)
        else:
            self._show_prompt(replace(there, arriving=(query, key)))

    def _go_to_part(self, label: str) -> None:
        """A component's name (``L3H1``, ``L3.attn``, ``L3.mlp``, ``L3N17``) → that head's pattern, those neurons."""
        there = state.at_part(self.selection, label)
        if there.view == "neurons" and there.model is not None and there.model.capabilities.neurons:
            self.say(there.model.capabilities.neurons, about="option")
        elif there == self.selection:
            self.say(f"{label} is no head and no MLP: there is nothing more to open" if label else "", about="option")
        else:
            self._leave_panel()
            self.change(there, jump=True)

    def key_escape(self) -> None:
        self.say("")
        self._stop()
        self._leave_panel()
        self._focus_view()

    # --- how it looks -----------------------------------------------------------------------------------------------

    def action_cycle(self, name: str) -> None:
        where = _ONLY_IN.get(name, ())
        if where and self.selection.view not in where:
            views = ", ".join(state.TITLES[view] for view in where)
            self.say(f"{name} is for {views}; nothing here depends on it", about="option")
            return
        selection, passed = state.cycle(self.selection, name)
        if name == "baseline" and selection.normalize == "none":
            passed = passed or f"rows will be normalised over {_OVER[selection.baseline]}: press n to normalise them"
        if passed:
            self.say(passed, about="option")
        else:
            self.unsay("option")
        self.change(selection)

    def action_cycle_mode(self) -> None:
        s = self.selection
        name = _MODES.get(s.view)
        self._leave_panel()
        if s.over and s.view == "pattern":
            self.action_cycle("statistic")
        elif s.over:
            self.say("mean and spread stand side by side here; F shows one prompt", about="option")
        elif s.head is None and s.view == "pattern":
            self.say("no head is selected, so all heads of the layer are shown: } selects one", about="option")
        elif name is None:
            self.say(_ONE_MODE[s.view], about="option")
        else:
            self.action_cycle(name)

    def action_cycle_unit(self) -> None:
        name = _UNITS.get(self.selection.view)
        if name is None:
            self.say("units are for the stream's parts, for Heads and Compose: 4 to 8, or W", about="option")
        else:
            self.action_cycle(name)

    def action_directions(self) -> None:
        """The vector under the cursor as tokens, in the side panel."""
        names = needs.panels(self.selection)
        name = next((name for name in ("directions", "neuron writes", "head writes") if name in names), "")
        if name:
            self._show_panel(name)
        else:
            self.say("no vector of the stream is under the cursor here", about="option")

    def _show_panel(self, name: str) -> None:
        self._panel_asked = True
        self.change(replace(self.selection, panel=needs.panels(self.selection).index(name)))
        self._want()
        self._draw_panel()
        if self.small:
            self._focus_view()

    def action_fit(self) -> None:
        self.heatmap.action_fit()

    def action_cycle_panel(self) -> None:
        s, names = self.selection, needs.panels(self.selection)
        if self.small and not self._panel_open():
            self._panel_asked = True
            self.change(replace(s, panel=0))
        else:
            panel = s.panel + 1 if s.panel < len(names) else 0
            self._panel_asked = panel < len(names)
            self.change(replace(s, panel=panel))
        self._want()
        self._draw_panel()
        if self.small:
            self._focus_view()

    def action_toggle_tree(self) -> None:
        self.query_one(ModelTree).toggle_class("folded")

    # --- the rest ---------------------------------------------------------------------------------------------------

    def palette_entries(self) -> list[Entry]:
        """The commands, as the help and the palette show them."""
        return [
            Entry(c.id, " ".join(display(key) for key in c.keys), c.label, c.help, c.group)
            for c in COMMANDS
            if c.id != "palette"
        ]

    def run_entry(self, command_id: str) -> None:
        """Run a command by its id."""
        self.call_later(self.run_action, by_id(command_id).action)

    def _run_chosen(self, command_id: str | None) -> None:
        if command_id is not None:
            self.run_entry(command_id)

    def action_help(self) -> None:
        header = captions.header_of(self._cached(needs.shown(self.selection)))
        about = captions.about(self.selection, header)
        self.app.push_screen(Help(self.palette_entries(), about), self._run_chosen)

    def action_palette(self) -> None:
        self.app.action_command_palette()

    def action_choose_theme(self) -> None:
        self.app.action_change_theme()

    def action_export(self) -> None:
        result = self._cached(needs.shown(self.selection))
        if result is None:
            self.say("nothing is computed yet that could be exported")
        else:
            self.post_message(ExportWanted(result, self.selection))

    def action_quit(self) -> None:
        self.app.exit()
