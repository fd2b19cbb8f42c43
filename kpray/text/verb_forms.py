"""Lists of English verbs. Taggers mistake verbs for nouns, above all in short sentences.

They were chosen by counting, in the abstracts and posts of Inspec train and valid, KP20k, ACM and StackExchange, how
often each word follows a word such as `to` or `they`, and how often a word such as `the` or `of`. A part is written by
hand.
"""

from __future__ import annotations

#: Verbs that are almost never nouns.
PURE_VERBS = frozenset(
    """
    abandon abide abstain accelerate accept accommodate accomplish accuse achieve acknowledge acquire acquit
    activate actuate adapt add adjust admire adopt advertise afford aggravate allege alleviate allocate alter
    ameliorate amend analyze animate annotate announce anticipate apply appoint approve argue arrange arrive
    articulate ask assemble assert assess assign assist assume assure astonish attach attain attend attract augment
    authenticate automate avoid await become begin behave believe betray boil breathe bring broaden browse bury
    calculate calibrate cancel carry catalyze categorize celebrate certify characterize choose circulate circumvent
    clarify classify cleanse coagulate collaborate collect communicate compare compel compensate comply comprehend
    compute concentrate conceptualize conclude condemn confess configure confirm confront confuse congratulate
    connect conquer conserve consider consolidate construct consume contend continue contribute converge convert
    convey convince cooperate cope corrode counteract create criticize culminate cultivate decentralize decide
    declare decompose decouple deepen defend define degrade delimit deliver delve demolish demonstrate demote denote
    deny depart deplete deploy depress derive describe destroy detect deter determine develop devise devote devour
    differentiate disable disambiguate disappoint discard disclose discover discriminate discuss disentangle dismiss
    disrupt disseminate dissolve distill distinguish distract diversify divert donate educate elicit eliminate
    embarrass embed embody emigrate employ empower emulate enable encode encourage encrypt endanger endorse endow
    engage enhance enjoy enlarge enrich ensure entail enter entertain enumerate envision equalize equip erase erode
    erupt eschew establish evacuate evaluate evaporate evict evolve examine excite exclude execute exert expand
    expect expel expire explain explicate explore expose extend extinguish extrapolate fabricate facilitate
    factorize feel ferment fill flee forbid foresee forgive formalise formalize formulate foster fulfill furnish
    gather generate germinate get give greet guess hear heighten hydrate hydrolyse hydrolyze hypothesize identify
    illuminate illustrate imagine imitate immerse impair impart impose imprison improve improvise incentivize
    incorporate induce infect infer inflate inflict inform ingest inhabit inhale inherit inhibit initialize initiate
    inject inspect inspire instantiate instigate insulate integrate intend interact interpolate interpret interrupt
    introduce invert investigate invite irrigate irritate isolate justify keep know learn legalise legalize lend
    leverage localize locate loosen lose lubricate magnify maintain manage manipulate marry materialize maximise
    maximize meditate meet memorize migrate minimise minimize misrepresent mitigate modify motivate mourn multiply
    mutate navigate nominate obey obfuscate observe obtain occlude offend omit optimize organise organize orient
    oscillate oust outsource overcome override oxidize parallelize paralyze parameterize participate penetrate
    perceive perform personalise personalize persuade perturb phosphorylate pinpoint pollinate pollute populate
    posit postulate preclude predict prefer prepare prescribe preserve prevail prevent prioritize proceed
    procrastinate prolong promote propose prosecute protect prove provide provoke pulverize punish purify pursue put
    quantify ratify react realise realize recast receive recognise recognize recommend recompute reconcile
    reconfigure reconsider reconstruct recover recreate recycle redefine redistribute reduce refer refine refocus
    reformulate regain regress regularize regulate reinterpret reject rejoice relax relieve remember remind remove
    renew renovate reorder reorganize repel replace replicate represent reproduce repurpose rerank reshape resign
    resolve resort restate restore restrain retain retaliate rethink retrain retrieve revise revive say scrutinize
    see seem select sensitize settle shatter simplify simulate sing socialize soften solicit solve specialize
    specify speculate spend stabilise stabilize sterilize stimulate strengthen subdue submit subscribe substantiate
    succeed sue suffer suffice suggest superimpose suppress surmount survive sustain swallow synthesize teach tease
    theorize think thrive tighten tolerate traverse uncover undermine understand undertake unearth unite unpack
    unravel unveil utilize vaccinate validate vanish vary ventilate verify vibrate want warn weaken weigh widen
    withdraw wither withhold
    """.split()
)

#: Verbs that may be nouns, but seldom are after a plural or a name.
VERBS = frozenset(
    """
    absorb affect age allow attack bind block boost break buy cause climb collapse contain cost decay decline defeat
    dominate drive eat emit fail feed fight fix flow fuel gain govern grow harm heat help hire hit host hurt include
    invade join kill launch lead leak let lift limit love make mediate melt modulate need neglect notice occur offer
    open outperform overtake own persist produce reach release rely require reveal rise rot run rust save seek sell
    send serve shrink sink sleep spread store strike struggle swim target tell threaten transmit travel trigger urge
    visit win worsen
    """.split()
)

#: Verbs that are nouns at least as often.
NOUN_VERBS = frozenset(
    """
    access accompany account accrue accumulate act address adhere admit advance advise advocate aggregate agree aid
    aim alarm alert align alternate amplify analyse answer appeal appear approximate architect archive arise arm
    arouse arrest aspire associate attempt attest back bake balance ban bark bear beat belong bend benefit bet bite
    blame blast blend bloom blur bomb bond boom bootstrap border borrow brake bridge broadcast build burn bypass
    cache call capitalize capture care cast catch categorise cater change characterise charge chart chase cheat
    check cheer chill cite claim clash clean clear click close coalesce coin coincide color colour combat combine
    come commit compete compile complement complicate compose compress comprise compromise concatenate conceal
    condense conduct conflict conform consist constitute constrain contextualize contradict control converse cook
    cool coordinate copy correlate correspond corroborate count counter couple cover crack crash crawl critique crop
    cross crowdsource crush cry cure cut damage dance date deal debate decode decrease defect delay delegate delete
    delineate demand democratize depend depict design desire deteriorate detract deviate diagnose dictate die differ
    diffuse digest dip disagree disappear discharge discount disguise dispense displace display disregard dissect
    distribute disturb divide divorce double doubt download drag drain draw dream drift drill drop drown dump ease
    echo edit elaborate embrace emerge emphasise emphasize encapsulate encompass encounter end enforce engineer
    ensue erect escape estimate evoke exacerbate exceed exchange exemplify exercise exhibit exist exit exploit
    export express extract face fade fall fan farm favor favour fetch film filter find finish fire fish fit flag
    flash flood fly focus follow fool force forecast foreground form foul frame freeze fry fund fuse generalise
    generalize grant grasp graze grind guarantee guard guide hammer hamper handle happen harness hatch heal hedge
    hide highlight hike hinder hint hold hope hover hunt hurry ignore impede implement imply import impress impute
    increase incur index indicate influence insert instruct intercept interfere interleave intersect invoke involve
    iterate jail judge jump juxtapose kick kiss knock label laugh leave lessen lie light link list listen live load
    lock log login look lower manifest map march mark mask master match mean measure mention merge mimic mine mirror
    miss mix mock model moderate monitor move murder nail narrow necessitate negate normalize note notify nudge
    obscure obstruct occupy operate operationalize oppose orchestrate originate outline overestimate overlap overlay
    overlook pack paint parse participant partition pass pave pay peak penalize permeate permit pertain phone pick
    pilot pitch pivot place plague plan plant play plot plunge pop portray pose possess post pour power praise
    precede preprocess present press pretend price print probe prohibit project promise prompt propagate protest
    prune publish pull pump purchase push qualify question race rage raid rain raise rally rank rate read rearrange
    record recruit recur redesign redirect reflect refresh refuse refute register reinforce relate relay remain
    remark remedy render repair repeat replay reply report request rescue resemble reset reside resize respond rest
    restrict resume retreat retrofit return retweet reuse reverse review reward rewrite ride ring risk rival roast
    rock roll root rotate route row ruin rule rush sacrifice sail sample satisfy saw scaffold scale scan scare
    schedule score seal search seat segment sense set shade shake shape share shed shelter shield shift ship shock
    shoot shout show showcase sign signify sit situate sketch skip slam slide slow smell smoke smooth snap soar sort
    sound span spark speak speed speedup spell spill spin split spoil spot spray spur squeeze stack staff stain
    stall stamp stand star start stay steal steer stem stick stop storm streamline stress stretch strive study
    substitute subsume suit summarise summarize supplement supply support suppose surpass surrender surround suspect
    sweep swell swing switch sync synchronize tackle tailor take talk tap taste tax tear tend terminate test thank
    thaw throw tie tip toast touch tour tow trace track trade trail train transcend transcribe transfer transform
    translate transport trap treat trust try tumble tune turn twist undercut underestimate undergo underlie
    underline underpin underscore unfold unify update upgrade upload use utilise value veto view violate visualise
    visualize voice vote wait wake walk wander warrant wash waste watch water wave wear weave welcome weld whip wind
    wipe wish wonder work worry worship wound wrap wreck write yield zoom
    """.split()
)


def third_person(verb: str) -> str:
    """Its form after `she`: `carry` -> `carries`."""
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return verb[:-1] + "ies"
    return verb + ("es" if verb.endswith(("s", "x", "z", "ch", "sh", "o")) else "s")


#: Past forms that do not end in `ed`.
IRREGULAR_PASTS = frozenset(
    """
    arose ate awoke bade beat became began bent bet bid bit bled blew bore bought bound bred broke brought built
    burnt burst came cast caught chose clung cost crept cut dealt did drank dreamt drew drove dug dwelt fed fell
    felt fit fled flew flung forbade foresaw forgave forgot fought found froze gave got grew ground had heard held
    hid hit hung hurt kept knelt knew laid lay leant leapt learnt led left lent let lit lost made meant met misled
    mistook outdid outgrew outran overcame overran overrode overthrew overtook paid proved put quit ran rang read
    rebuilt redid remade resent rethought retook rewrote rode rose said sang sank sat saw sent set sewn shaken shed
    shone shook shot shrank shut slept slid smelt sold sought spat sped spelt spent spilt split spoke sprang spread
    spun stank stole stood strode strove struck strung stuck stung sung swam swept swore swung taught thought threw
    told took tore trod understood undertook underwent undid unwound upheld upset was wed went wept were wet
    withdrew withstood woke won wore wound wove wrote
    """.split()
)

BASES = PURE_VERBS | VERBS | NOUN_VERBS
#: Adverbs that do not end in `ly`, and words of numbers: taggers give their tags to unknown nouns, too.
ADVERBS = frozenset(
    """
    about above abroad across afterwards again ago ahead alike alone along already also always among anew anymore
    anyway anywhere apart around as aside away back before behind below beneath best better beyond by close closer
    deep down downstream downwards due earlier either else elsewhere enough even ever everywhere far farther fast faster
    fine first forever forth forward free further furthermore half hard harder hence here hereafter high higher home how
    however in indeed indoors inside instead just last late later least less likewise little long longer loud lower
    maybe meanwhile more moreover most much n't near nearby never nevertheless next no nonetheless not notwithstanding
    now nowadays nowhere off often on once only open out outdoors outside over overall overnight overseas perhaps
    please pretty prior quick quite rather regardless right round second seldom short since slow slower so somehow
    sometime sometimes somewhat somewhere soon sooner sort still straight straightforward such sure that then there
    thereafter thereby therefore third though through throughout thus tight today together tomorrow tonight too towards
    twice under underneath up upstream upwards very well wherever wide within without worse worst yesterday yet
    """.split()
)
NUMBERS = frozenset(
    """
    one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen
    nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million billion trillion zero dozen
    hundreds thousands millions billions half ii iii iv vi vii viii ix xi xii xiii etc yes yeah ok okay hello
    """.split()
)

#: Third person -> verb.
THIRD_PERSONS = {third_person(verb): verb for verb in BASES}


def is_past(word: str) -> bool:
    """Whether a word may be a past form of a verb."""
    if word.endswith("ed") or not word.isalpha():
        return True
    return (
        word in IRREGULAR_PASTS or word.removeprefix("out").removeprefix("over").removeprefix("re") in IRREGULAR_PASTS
    )
