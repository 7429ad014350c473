"""What the user gives in words: answers to questions on the bottom line, prompts, files of prompts, notes on heads.

Each becomes another Selection, at once or when the worker has looked its tokens up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from textual import on
from textual.timer import Timer
from textual.widgets import Input

from . import needs, notes, questions, state
from .engine.jobs import HeadAt, Job, Words
from .finding import head_at
from .notes import Note
from .questions import Choice, Lookup, Problem, Question
from .results import Found, Pairs, Split, Table, Tokens, head_name
from .stage import Asks, Stage
from .state import Selection
from .text import is_byte
from .views.ask import Ask
from .views.head_card import HeadCard
from .views.prompt import PromptInput

TYPING_PAUSE = 0.15
"""Seconds after the last typed character before the prompt is run."""


class Asking(Stage):
    """Questions and their answers, the prompt, files, notes."""

    def __init__(self, engine: Asks, selection: Selection, history: Sequence[str], draw_pause: float) -> None:
        super().__init__(engine, selection, history, draw_pause)
        self.typing_pause = TYPING_PAUSE
        self._typing: Timer | None = None

    # --- questions --------------------------------------------------------------------------------------------------

    def _ask(self, question: Question) -> None:
        text = questions.before(question, self.selection)
        self.app.push_screen(Ask(question.id, question.title, text, question.hint))

    @on(Ask.Answered)
    def _answered(self, message: Ask.Answered) -> None:
        self._take(message.question, questions.answered(message.question, message.text.strip(), self.selection))

    @on(Ask.Picked)
    def _picked(self, message: Ask.Picked) -> None:
        self._take(message.question, questions.answered(message.question, message.value, self.selection))

    def _take(self, question: str, answer: Selection | Lookup | Choice | Problem) -> None:
        """A good answer closes its question and is shown; one that needs the worker waits for it."""
        if isinstance(answer, Problem):
            self._problem(question, answer.sentence)
        elif isinstance(answer, Choice):
            self._extra.pop(question, None)
            top = self.app.screen
            if isinstance(top, Ask) and top.question == question:
                top.choose(answer.sentence, answer.options)
        elif isinstance(answer, Lookup):
            self._extra[question] = answer
            self._want()
        else:
            self._settled(question)
            if answer.open != self.selection.open:
                self._failures.pop(answer.open, None)
                self._activity = f"opening {answer.open.source}"
            self.change(answer)

    def looked_up(self, job: Lookup, result: Tokens | Found | Split | Pairs) -> None:
        for question in [question for question, asked in self._extra.items() if asked == job]:
            self._take(question, questions.found(question, job, result, self.selection))
        s = self.selection
        if isinstance(job, Words) and isinstance(result, Tokens) and s.words == job.text and s.listed_of != job:
            self.change(replace(s, listed=result, listed_of=job))

    def not_found(self, job: Job, sentence: str) -> bool:
        for question, asked in self._extra.items():
            if asked == job:
                self._problem(question, sentence)
                return True
        return False

    def _problem(self, question: str, sentence: str) -> None:
        """The answer to a question was no good: say so where it was typed, or as a notice if that is gone."""
        self._extra.pop(question, None)
        top = self.app.screen
        if isinstance(top, Ask) and top.question == question:
            top.problem(sentence)
        else:
            self.say(sentence, about=question)

    def _settled(self, question: str) -> None:
        self._extra.pop(question, None)
        top = self.app.screen
        if isinstance(top, Ask) and top.question == question:
            top.dismiss()
        self.unsay(question)

    # --- prompt -----------------------------------------------------------------------------------------------------

    @on(Input.Changed, "#prompt-input")
    def _typed(self, event: Input.Changed) -> None:
        if self._typing is not None:
            self._typing.stop()
        self._typing = self.set_timer(self.typing_pause, self._commit)

    def _commit(self) -> None:
        self._typing = None
        text = self.query_one(PromptInput).prompt
        if text != self.selection.text:
            self.change(replace(self.selection, text=text))

    @on(Input.Submitted, "#prompt-input")
    @on(PromptInput.Left)
    def _left_prompt(self) -> None:
        self._commit()
        field = self.query_one(PromptInput)
        field.remember(self.selection.text)
        self.history = field.history
        self._focus_view()

    def action_edit_prompt(self) -> None:
        self._editing = True
        self.set_focus(self.query_one(PromptInput))  # at once: the next key is text already

    def action_append_token(self) -> None:
        """Append the likeliest next token after the last position."""
        s = self.selection
        table = self._cached(needs.next_tokens(replace(s, row=-1)))
        if not isinstance(table, Table) or not table.rows:
            self.say("no prediction yet: wait for the prompt to be computed")
            return
        token = str(table.rows[0][table.columns.index("token")])
        if is_byte(token):
            self.say(f"the likeliest next token, {token}, is part of a character: it is no text that could be appended")
            return
        field = self.query_one(PromptInput)
        field.prompt = s.text + token
        self._commit()

    def action_toggle_bos(self) -> None:
        s = self.selection
        if s.model is not None and s.model.bos_id is None:
            self.say("this model's tokenizer has no BOS token")
        else:
            self.change(replace(s, bos=not s.with_bos))

    def action_edit_words(self) -> None:
        self._ask(questions.WORDS)

    def action_edit_answer(self) -> None:
        self._ask(questions.ANSWER)

    def action_edit_offset(self) -> None:
        s = self.selection
        if s.model is not None and s.model.capabilities.offset:
            self.say(s.model.capabilities.offset)
        else:
            self._ask(questions.OFFSET)

    # --- a file of prompts -------------------------------------------------------------------------------------------

    def action_open_prompts(self) -> None:
        self._ask(questions.PROMPTS)

    def open_prompts(self, path: str) -> None:
        """Open a file of prompts; what is wrong with it is said."""
        answer = questions.prompt_file(path, self.selection)
        if isinstance(answer, Problem):
            self.say(answer.sentence, about="prompts")
        else:
            self.unsay("prompts")
            self._show_prompt(answer)

    def action_step_prompt(self, step: int) -> None:
        s = self.selection
        if s.file is None:
            self.say("no file of prompts is open: O opens one", about="prompts")
        else:
            self._show_prompt(state.at_prompt(replace(s, file=replace(s.file, over=False)), s.file.at + step))

    def action_toggle_over(self) -> None:
        s = self.selection
        if s.file is None:
            self.say("no file of prompts is open: O opens one", about="prompts")
        elif s.view not in state.OVER:
            self.say("pattern, lens and attribution can be shown over all prompts: 1, 5 or 6", about="prompts")
        else:
            self.change(replace(s, file=replace(s.file, over=not s.file.over)))

    def _show_prompt(self, selection: Selection) -> None:
        """A prompt that was not typed: the field shows it too."""
        field = self.query_one(PromptInput)
        if field.prompt != selection.text:
            field.prompt = selection.text
        self.change(selection, jump=True)

    # --- finding heads -----------------------------------------------------------------------------------------------

    def action_ask_pairs(self) -> None:
        self._ask(questions.SEARCH)

    def action_ask_filter(self) -> None:
        self._ask(questions.FILTER if self.selection.view == "pairs" else questions.TREE)

    def action_ask_repeats(self) -> None:
        self._ask(questions.REPEATS)

    def action_open_card(self) -> None:
        s = self.selection
        if s.model is None or s.head is None:
            self.say("no head is selected: } selects one", about="option")
            return
        self._card = HeadCard((s.layer, s.head))
        self.change(replace(s, card=True))
        self._draw_card()
        self.app.push_screen(self._card)

    @on(HeadCard.Closed)
    def _card_closed(self) -> None:
        self._card = None
        self.change(replace(self.selection, card=False))

    @on(HeadCard.GoTo)
    def _left_card(self, message: HeadCard.GoTo) -> None:
        if at := head_at(message.label):
            self.change(replace(self.selection, layer=at[0], head=at[1], column=0), jump=True)

    @on(HeadCard.Noted)
    def _noted(self, message: HeadCard.Noted) -> None:
        old = self._note_on(message.head)
        self._keep_note(replace(old, text=message.text))

    @on(HeadCard.ToggleBookmark)
    def _bookmarked(self, message: HeadCard.ToggleBookmark) -> None:
        old = self._note_on(message.head)
        self._keep_note(replace(old, bookmarked=not old.bookmarked))

    def _note_on(self, at: HeadAt) -> Note:
        name = head_name(*at)
        return self.notes.get(name) or Note(name, "", False)

    def _keep_note(self, note: Note) -> None:
        """On the screen at once, and in the model's file; where that cannot be, a sentence."""
        model = self.selection.model
        if model is None:
            return
        kept = {name: other for name, other in self.notes.items() if name != note.head}
        self.notes = {**kept, note.head: note} if note.text or note.bookmarked else kept
        if problem := notes.write(model.key, model.name, note):
            self.say(problem, about="note")
        self._label_tree()
        self._draw_card()

    def action_choose_model(self) -> None:
        self._ask(questions.MODEL)

