// Posts the page's only form. The page has a button as well, for browsers without scripts.
document.forms[0].submit();
