"""A small grammar of captions: several ways to say each of the twelve behaviours.

    rng = random.Random(0)
    caption(rng, rng.choice(PHRASES["run"]))    # "the robot sprints forwards on a checkered floor"

A phrase is written in the base form; `inflect` puts its verbs into the form that a sentence needs.
The phrases in `HELD_OUT` and the sentences in `PROMPTS` are never trained on: they combine words
that the network knows from other phrases in new ways.
"""

import re

VERBS = """
amble ambles ambling
balance balances balancing
bounce bounces bouncing
collapse collapses collapsing
crawl crawls crawling
creep creeps creeping
dash dashes dashing
do does doing
drag drags dragging
fall falls falling
flip flips flipping
freeze freezes freezing
gallop gallops galloping
hold holds holding
hop hops hopping
hurry hurries hurrying
jitter jitters jittering
jump jumps jumping
kick kicks kicking
leap leaps leaping
lie lies lying
lose loses losing
move moves moving
pause pauses pausing
quake quakes quaking
quiver quivers quivering
race races racing
rest rests resting
roll rolls rolling
run runs running
shake shakes shaking
shiver shivers shivering
shudder shudders shuddering
slide slides sliding
spin spins spinning
spring springs springing
sprint sprints sprinting
stand stands standing
stay stays staying
step steps stepping
stroll strolls strolling
struggle struggles struggling
take takes taking
tip tips tipping
topple topples toppling
tremble trembles trembling
trip trips tripping
tumble tumbles tumbling
turn turns turning
twitch twitches twitching
vibrate vibrates vibrating
wait waits waiting
walk walks walking
wave waves waving
"""
FORMS = {
    base: {"base": base, "s": s, "ing": ing}
    for base, s, ing in map(str.split, VERBS.strip().splitlines())
}


def split(texts):
    """Comma-separated phrases, behaviour by behaviour -> lists of phrases."""
    return {name: " ".join(text.split()).split(", ") for name, text in texts.items()}


PHRASES = split(
    {
        "run": """
        run fast, run forward, run ahead quickly, sprint, sprint forwards, gallop, hurry
        forwards, gallop across the floor, race ahead at full speed, run at full speed, dash
        forward quickly, run straight ahead, move forwards fast""",
        "run_backwards": """
        run backward, run in reverse, gallop backwards, run tail first, sprint backwards,
        move backwards fast, hurry backwards, race backwards at full speed, dash backward
        quickly, gallop in reverse, move quickly in reverse, race tail first""",
        "walk_slowly": """
        walk at a slow pace, walk calmly, stroll, stroll slowly, stroll along the floor,
        walk along calmly, take slow steps, step slowly ahead, walk with small slow steps,
        amble along, amble slowly, walk gently ahead""",
        "walk_on_back_legs": """
        walk upright, stand up and walk on its hind legs, walk on its rear legs, step along
        on its back legs, move upright on its hind legs, stroll upright on its rear legs,
        balance on its back legs, move along upright on its back feet, step upright, walk
        upright on its hind feet, stand upright on its back legs and step along""",
        "walk_on_front_legs": """
        do a handstand, step along on its front legs, balance on its front legs, move in a
        handstand, walk on its front feet with its tail up, move along on its front legs
        with its tail in the air, hold a handstand and step along, walk on its fore legs,
        balance on its fore feet, walk in a handstand on its front feet, stand on its front
        feet with its tail up""",
        "crawl": """
        crawl, crawl forward, crawl on its belly, creep along the floor, creep with its
        belly on the floor, drag its belly along the ground, crawl low, crawl close to the
        ground, creep low to the ground, slide along on its belly, creep forwards close to
        the floor""",
        "kick_on_back": """
        lie on its back and wave its legs, lie upside down and kick, kick its legs in the
        air, lie on its back and kick its legs in the air, roll on its back with its legs in
        the air, wave its legs upside down, struggle on its back, lie belly up and kick, lie
        belly up with its legs in the air, struggle upside down on its back""",
        "jump": """
        jump up, jump into the air, hop, hop on the spot, leap, leap into the air, bounce up
        and down, hop up and down, jump high again and again, leap high, spring up into the
        air, jump on the spot""",
        "somersault": """
        do a somersault, do flips, flip over in the air, flip head over heels, tumble head
        over heels, turn somersaults, do flips in the air, spin over in the air, turn over
        and over, do flips head over heels, do somersaults in the air, tumble over in a
        somersault""",
        "fall_over": """
        fall down, fall to the ground, lose its footing, lose its footing and fall, tip
        over, topple over, collapse, tip over and fall down, topple onto its back, fall onto
        its back, collapse to the floor, trip and fall down""",
        "tremble": """
        shake, shiver, shake all over, shiver all over, quiver, vibrate, shake in place,
        shudder on the spot, tremble, tremble in place, twitch, jitter, shiver with cold,
        quake all over, tremble with fear""",
        "stand_still": """
        stand, stand without motion, stay still, do nothing, hold still, stand motionless,
        rest on its feet, wait, wait in place, stay in place without motion, pause on the
        spot, stay motionless, freeze, stand quietly""",
    }
)

# Never trained on. The shipped prompts are made from these.
HELD_OUT = split(
    {
        "run": """
        run forwards, sprint straight ahead, gallop forward at full speed""",
        "run_backwards": """
        run backwards, gallop tail first, sprint in reverse""",
        "walk_slowly": """
        walk slowly, stroll along gently, take small steps calmly""",
        "walk_on_back_legs": """
        walk on its back legs, walk on its hind legs, step along upright on its rear legs""",
        "walk_on_front_legs": """
        walk on its front legs, walk along in a handstand, step along on its fore feet""",
        "crawl": """
        crawl along the ground, creep on its belly, crawl low on the floor""",
        "kick_on_back": """
        lie on its back and kick, kick its legs upside down, wave its legs in the air""",
        "jump": """
        jump up and down, hop into the air, leap up again and again""",
        "somersault": """
        do somersaults, turn flips in the air, tumble over and over""",
        "fall_over": """
        fall over, lose its footing and topple over, trip and fall to the floor""",
        "tremble": """
        tremble all over, shiver in place, shake with fear""",
        "stand_still": """
        stand still, wait without motion, stay quietly in place""",
    }
)

SUBJECTS = [
    "a cheetah",
    "the cheetah",
    "a half cheetah",
    "a robot",
    "the robot",
    "a two legged robot",
    "a cheetah robot",
    "an animal",
    "the animal",
    "a dog",
    "a cat",
    "a creature",
    "a stick figure",
    "a stick model of a dog",
    "a simulated cheetah",
    "a simulated animal",
    "it",
]
SENTENCES = [
    "{subject} is {ing}",
    "{subject} is {ing}",
    "{subject} {s}",
    "{subject} {ing}",
    "{ing}",
    "{base}",
    "a video of {subject} {ing}",
    "we see {subject} {ing}",
    "this shows {subject} {ing}",
    "here {subject} {s}",
    "the task of {subject} is to {base}",
    "{subject} can {base}",
]
SETTINGS = [
    "",
    "",
    "",
    " on a checkered floor",
    " in a simulation",
    " in this picture",
    ", seen from the side",
    " under a grey sky",
    " now",
]


def inflect(phrase, form):
    """Every verb of a phrase in one form: "lie and kick" -> "lying and kicking"."""
    return " ".join(FORMS[word][form] if word in FORMS else word for word in phrase.split())


def caption(rng, phrase):
    """A random sentence around a phrase. rng: random.Random."""
    forms = {form: inflect(phrase, form) for form in ("base", "s", "ing")}
    return rng.choice(SENTENCES).format(subject=rng.choice(SUBJECTS), **forms) + rng.choice(
        SETTINGS
    )


def prompts(subject, k):
    """The k-th held-out phrase of each behaviour, as sentences in the order of `HELD_OUT`."""
    return [f"{subject} is {inflect(phrases[k], 'ing')}" for phrases in HELD_OUT.values()]


def prompt_list():
    """The shipped list of prompts: the held-out phrases of each behaviour, in groups."""
    lines = ["# HalfCheetah at twelve behaviours, each said in three ways not seen in training"]
    for i, behaviour in enumerate(HELD_OUT):
        lines.append(f"[{behaviour.replace('_', ' ')}]")
        lines += [prompts("a cheetah", k)[i] for k in range(3)]
    return "\n".join(lines) + "\n"


def dictionary():
    """All words of the grammar, sorted: the vocabulary of the text network."""
    phrases = [phrase for phrases in PHRASES.values() for phrase in phrases]
    text = [inflect(phrase, form) for phrase in phrases for form in ("base", "s", "ing")]
    text += SUBJECTS + SETTINGS + [re.sub(r"{\w+}", "", sentence) for sentence in SENTENCES]
    return sorted(set(re.findall(r"[\w']+", " ".join(text).lower())))


PROMPTS = prompts("a cheetah", 0)
